//! Several accounts at once.

use super::*;

fn account(name: &str, password: &str) -> Credential {
    Credential {
        username: name.into(),
        password: Secret::new(password),
        session_token: None,
        source: "admin".into(),
        mechanism: None,
    }
}

/// A host that has a Weir inside of it may let its clients show a login of their own.
#[test]
fn each_of_several_accounts_can_be_logged_in_as() {
    let accounts = [account("app", "pencil"), account("own", "pen")];
    let authenticator = Authenticator::new(&accounts, SaltSource::new([7; 32]));
    for (user, password, known) in [
        ("app", "pencil", true),
        ("own", "pen", true),
        ("own", "pencil", false),
        ("app", "pen", false),
        ("other", "pen", false),
    ] {
        let mut login = Login::default();
        let client = First::new(user, Nonce::from_random([9; 24]));
        let start = sasl_start("SCRAM-SHA-256", client.payload(), true);
        let reply = run_at(&authenticator, &mut login, &start).unwrap();
        let (_, payload) = respond(Mechanism::ScramSha256, client, (user, password), &reply);
        let outcome = run_at(&authenticator, &mut login, &sasl_continue(1, payload));
        assert_eq!(outcome.is_ok(), known, "{user} {password}: {outcome:?}");
    }
}

/// A mechanism that one of them does not have is offered to nobody: a driver that is offered
/// two takes the stronger one, and the hello does not depend on whom it asks about.
#[test]
fn what_is_offered_serves_every_account() {
    let accounts = [account("app", "pencil"), account("own", "pen\u{7}")];
    let both = Authenticator::new(&accounts, SaltSource::new([7; 32]));
    assert_eq!(offered(&both), ["SCRAM-SHA-1"]);
}
