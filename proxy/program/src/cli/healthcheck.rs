//! `weir healthcheck`: exit 0 when a running Weir is healthy, 1 when not.
//!
//! Nothing is ever written to standard error: container platforms take that for a failure. The
//! reason of a failure goes to standard output.

use std::process::ExitCode;

use crate::cli::args::HealthcheckArgs;
use crate::cli::http;
use weir::config::Config;
use weir::config::env::{ProcessEnvironment, Strings};

/// Asks `/ready`, or `/live`.
pub(crate) async fn run(args: HealthcheckArgs) -> ExitCode {
    match ask(&args, &ProcessEnvironment).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("{reason}");
            ExitCode::FAILURE
        }
    }
}

async fn ask(args: &HealthcheckArgs, strings: &impl Strings) -> Result<(), String> {
    let admin = Config::load_admin(&args.settings.0, strings).map_err(|error| error.to_string())?;
    let path = if args.live { "/live" } else { "/ready" };
    let answer = http::get(admin, path, args.timeout)
        .await
        .map_err(|error| error.to_string())?;
    match answer.code {
        200 => Ok(()),
        code => Err(format!("{path} answers {code}: {}", answer.body.trim())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::cli::args::AdminSettings;
    use crate::cli::http::tests::serve_once;
    use weir::config::Flags;
    use weir::config::settings::name;

    fn args(admin: SocketAddr, live: bool) -> HealthcheckArgs {
        HealthcheckArgs {
            settings: AdminSettings(Flags::default().with(name::ADMIN, admin.to_string())),
            live,
            timeout: Duration::from_secs(5),
        }
    }

    #[tokio::test]
    async fn healthy_is_200_and_nothing_else() {
        let none = BTreeMap::new();
        for (answer, live, healthy) in [
            ("HTTP/1.1 200 OK\r\n\r\nok", false, true),
            ("HTTP/1.1 200 OK\r\n\r\nok", true, true),
            (
                "HTTP/1.1 503 Service Unavailable\r\n\r\nno primary",
                false,
                false,
            ),
            ("HTTP/1.1 404 Not Found\r\n\r\n", true, false),
        ] {
            let (admin, asked) = serve_once(answer).await;
            let result = ask(&args(admin, live), &none).await;
            assert_eq!(result.is_ok(), healthy, "{answer}: {result:?}");
            let path = if live { "GET /live " } else { "GET /ready " };
            assert!(asked.await.unwrap().starts_with(path));
        }
    }

    #[tokio::test]
    async fn the_address_comes_from_the_same_places_as_that_of_serve() {
        let (admin, _asked) = serve_once("HTTP/1.1 200 OK\r\n\r\n").await;
        let environment = BTreeMap::from([("WEIR_ADMIN".to_owned(), admin.to_string())]);
        let mut args = args(admin, false);
        args.settings = AdminSettings::default();
        ask(&args, &environment).await.unwrap();
        let wrong = BTreeMap::from([("WEIR_ADMIN".to_owned(), "9604".to_owned())]);
        let reason = ask(&args, &wrong).await.unwrap_err();
        assert!(reason.contains("WEIR_ADMIN"), "{reason}");
    }
}
