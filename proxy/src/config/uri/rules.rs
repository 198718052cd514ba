//! Rules that hold between the parts of a connection string.

use crate::config::uri::Mechanism;
use crate::config::uri::options::Options;
use crate::config::uri::role;
use crate::config::uri::text::UriText;
use crate::config::{Problem, Secret};

/// Options that describe the deployment must not contradict each other or the hosts.
pub(crate) fn check_deployment(uri: &UriText<'_>, options: &Options, problems: &mut Vec<Problem>) {
    let (one, sharded) = (
        uri.hosts.len() == 1,
        options.srv_max_hosts.is_some_and(|n| n > 0),
    );
    let (set, balanced) = (options.replica_set.is_some(), options.load_balanced);
    let pool = options.min_pool_size.zip(options.max_pool_size);
    let (max, service) = (&options.srv_max_hosts, &options.srv_service_name);
    let (direct, load_balanced) = ("directConnection", "loadBalanced");
    let (one_host, srv_only) = ("needs exactly one host", "is for mongodb+srv:// only");
    let (remove, remove_one) = ("remove it", "remove one of them");
    let is_direct = options.direct_connection;
    // Whether the rule is broken, the option, what is wrong, and what to change.
    #[rustfmt::skip]
    let rules = [
        (is_direct && (!one || uri.srv), direct, one_host, "remove it, or name one host with mongodb://"),
        (balanced && !one, load_balanced, one_host, "name the balancer's address only"),
        (balanced && set, load_balanced, "contradicts replicaSet", remove_one),
        (balanced && is_direct, load_balanced, "contradicts directConnection", remove_one),
        (max.is_some() && !uri.srv, "srvMaxHosts", srv_only, remove),
        (service.is_some() && !uri.srv, "srvServiceName", srv_only, remove),
        (sharded && (set || balanced), "srvMaxHosts", "contradicts replicaSet and loadBalanced", remove),
        (pool.is_some_and(|(min, max)| min > max), "minPoolSize", "is above maxPoolSize", "lower it"),
    ];
    let broken = rules.into_iter().filter(|(is_broken, ..)| *is_broken);
    problems.extend(broken.map(|(_, place, what, hint)| Problem::new(place, what, hint)));
}

/// Who is known outside of the database is a user of no other source.
fn check_source(options: &Options, problems: &mut Vec<Problem>) {
    let mechanism = options.auth_mechanism.filter(|it| it.is_external());
    let source = options.auth_source.as_deref();
    if let Some(mechanism) = mechanism
        && source.is_some_and(|source| source != "$external")
    {
        problems.push(Problem::new(
            "authSource",
            format!("must be $external with {}", mechanism.name()),
            "remove it",
        ));
    }
}

/// User, password and mechanism must make a login, or be absent together.
pub(crate) fn check_login(uri: &UriText<'_>, options: &Options, problems: &mut Vec<Problem>) {
    check_user(uri, options, problems);
    check_source(options, problems);
}

fn check_user(uri: &UriText<'_>, options: &Options, problems: &mut Vec<Problem>) {
    if options.auth_mechanism == Some(Mechanism::Aws) {
        return role::check(uri, options, problems);
    }
    let password = uri.password.as_ref().map(Secret::reveal);
    let mut add = |place, wrong, hint| problems.push(Problem::new(place, wrong, hint));
    if options.auth_mechanism == Some(Mechanism::X509) {
        if password.is_some() {
            add(
                "authMechanism",
                "is MONGODB-X509, which takes no password",
                "remove the password",
            );
        }
        if !options.tls_on(uri.srv) || options.tls_policy.certificate_key_file.is_none() {
            add(
                "authMechanism",
                "is MONGODB-X509, which logs in with a certificate",
                "add tls=true and tlsCertificateKeyFile",
            );
        }
        return;
    }
    match (&uri.username, password) {
        (Some(_), None | Some("")) => add(
            "",
            "names a user without a password",
            "write user:password@ before the host",
        ),
        (None, _) if uri.user_info.is_some() => add(
            "",
            "has an '@' without a user name before it",
            "write user:password@ before the host, or remove the '@'",
        ),
        (None, _) if options.auth_mechanism.is_some() => add(
            "authMechanism",
            "is given without a user name",
            "write user:password@ before the host, or remove it",
        ),
        _ => {}
    }
}
