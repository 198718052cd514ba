//! The log. Each line is a JSON object with the id of the current invocation, so that CloudWatch
//! shows it together with the function's own lines.

use std::fmt;
use std::io::Write;
use std::panic::PanicHookInfo;

use parking_lot::Mutex;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The log target of the proxy's warning about clients that have sent only hello.
const GREETERS: &str = "weir::downstream::hello_only";

/// Added to that line, because a function may create its client in init and use it much later.
const NOT_YET: &str = "nothing is wrong if the function has not used the database yet; if its \
    operations end with a server selection timeout, look for replicaSet in its code too: the shim \
    removes it from the connection string only";

static REQUEST: Mutex<Option<String>> = Mutex::new(None);

/// Starts the log. The default filter is `info`. A wrong filter is a warning, and the default
/// applies.
pub(crate) fn start(filter: Option<&str>) {
    let read = |text: &str| EnvFilter::builder().parse(text);
    let (filter, wrong) = match filter.map(read) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new("info"), Some(error)),
        None => (EnvFilter::new("info"), None),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A line that cannot be written is lost. The library would report that on standard error
        // too, with a macro that panics if it cannot write there.
        .log_internal_errors(false)
        .event_format(Lines);
    // This fails only if a log has been started already.
    let _ = log.try_init();
    if let Some(error) = wrong {
        tracing::warn!("WEIR_LOG_FILTER is not a valid filter ({error}); info is used");
    }
}

/// From now on log lines carry the id of this invocation.
pub(crate) fn belongs_to(request: &str) {
    *REQUEST.lock() = Some(request.to_owned());
}

/// The panic hook: writes one line about a panic. A panic in the hook would end the process. So the
/// hook calls nothing that can panic and waits for no lock.
pub(crate) fn of_panic(panic: &PanicHookInfo<'_>) {
    let mut line = Map::new();
    let mut put = |name: &str, value: String| line.insert(name.to_owned(), value.into());
    put("level", "ERROR".to_owned());
    put("logger", env!("CARGO_CRATE_NAME").to_owned());
    let message = "a part of weir-extension failed; please report this";
    put("message", message.to_owned());
    put("panic", panic.to_string());
    let request = REQUEST.try_lock().and_then(|request| request.clone());
    if let Some(request) = request {
        put("requestId", request);
    }
    let _ = writeln!(std::io::stderr(), "{}", Value::Object(line));
}

/// What the log does with an event.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Written,
    /// Written at level INFO with [`NOT_YET`]: a client has sent only hello.
    Explained,
    /// Not written: a client has sent only hello, and no invocation has begun yet.
    Unsaid,
}

impl Fate {
    fn of(target: &str, request: Option<&str>) -> Self {
        match (target == GREETERS, request) {
            (false, _) => Self::Written,
            (true, Some(_)) => Self::Explained,
            (true, None) => Self::Unsaid,
        }
    }
}

/// One line for each event.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let request = REQUEST.lock().clone();
        let fate = Fate::of(event.metadata().target(), request.as_deref());
        if fate == Fate::Unsaid {
            return Ok(());
        }
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut line = Line(Map::new());
        line.put("timestamp", time);
        line.put("level", event.metadata().level().as_str());
        line.put("logger", event.metadata().target());
        if let Some(request) = request {
            line.put("requestId", request);
        }
        event.record(&mut line);
        if fate == Fate::Explained {
            line.put("level", "INFO");
            line.put("here", NOT_YET);
        }
        writeln!(writer, "{}", Value::Object(line.0))
    }
}

struct Line(Map<String, Value>);

impl Line {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_only_greets_in_init_is_nothing_to_be_told() {
        assert_eq!(Fate::of(GREETERS, None), Fate::Unsaid);
        assert_eq!(Fate::of(GREETERS, Some("r-1")), Fate::Explained);
        for request in [None, Some("r-1")] {
            assert_eq!(
                Fate::of("weir::downstream::frontend", request),
                Fate::Written
            );
        }
    }
}
