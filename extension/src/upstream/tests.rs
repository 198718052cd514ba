use super::*;

const ATLAS: &str =
    "mongodb+srv://user:p%40ss@cluster.x.mongodb.net/exam?retryWrites=true&maxPoolSize=1";
const LISTEN: &str = "127.0.0.1:27017";

fn chosen<const N: usize>(variables: [(&str, &str); N]) -> Result<Chosen, String> {
    choose(&Env::from(variables), LISTEN)
}

#[test]
fn without_a_service_the_functions_own_string_is_the_road() {
    let chosen = chosen([("MONGO_AUTH_CREDENTIALS", ATLAS), ("STAGE", "prod")]).unwrap();
    assert_eq!(chosen.upstream_kind, UpstreamKind::Direct);
    assert_eq!(chosen.from, "MONGO_AUTH_CREDENTIALS");
    let expected = "mongodb+srv://user:p%40ss@cluster.x.mongodb.net/exam?retryWrites=true";
    assert_eq!(chosen.text, expected, "the pool is the extension's own");
    assert_eq!(chosen.original, None, "there is nothing to fall back to");
}

#[test]
fn a_service_gets_the_functions_login() {
    for service in ["weir.internal:27017", "mongodb://weir.internal:27017"] {
        let chosen = chosen([("WEIR_SERVICE", service), ("DB", ATLAS)]).unwrap();
        assert_eq!(chosen.upstream_kind, UpstreamKind::Service);
        assert_eq!(
            chosen.text,
            "mongodb://user:p%40ss@weir.internal:27017/?loadBalanced=true&connectTimeoutMS=2000\
             &authSource=admin"
        );
        assert_eq!(chosen.original.as_deref(), Some(ATLAS));
    }
}

/// The shim moves both, whichever of them the extension serves.
#[test]
fn named_strings_of_two_clusters_are_never_served() {
    let other = "mongodb://user:p%40ss@other.x.net/";
    for upstream_kind in [
        ("WEIR_SERVICE", "mongodb://a:b@weir:1/"),
        ("WEIR_UPSTREAM", ATLAS),
    ] {
        let named = ("WEIR_SHIM_VARS", "ONE,TWO");
        let why = chosen([upstream_kind, named, ("ONE", ATLAS), ("TWO", other)]).unwrap_err();
        assert!(why.contains("WEIR_SHIM_VARS"), "{why}");
    }
}

#[test]
fn a_service_may_have_its_own_login_and_options() {
    let service = "mongodb://a:b@weir:1/?tls=true&connectTimeoutMS=9";
    let one = chosen([("WEIR_SERVICE", service), ("DB", ATLAS)]).unwrap();
    assert_eq!(
        one.text,
        "mongodb://a:b@weir:1/?loadBalanced=true&tls=true&connectTimeoutMS=9"
    );
    let none = chosen([("WEIR_SERVICE", "weir:1")]).unwrap();
    assert_eq!(
        none.text,
        "mongodb://weir:1/?loadBalanced=true&connectTimeoutMS=2000"
    );
    let plain = "mongodb://weir:1/?loadBalanced=false";
    let plain = chosen([("WEIR_SERVICE", plain)]).unwrap();
    assert_eq!(plain.upstream_kind, UpstreamKind::Direct);
}

#[test]
fn where_a_user_is_defined_goes_with_him() {
    let auth = |own: &str| {
        let chosen = chosen([("WEIR_SERVICE", "weir:1"), ("DB", own)]).unwrap();
        let (_, options) = chosen.text.split_once("connectTimeoutMS=2000").unwrap();
        options.to_owned()
    };
    assert_eq!(auth("mongodb://u:p@h/"), "&authSource=admin");
    assert_eq!(auth("mongodb://u:p@h/shop"), "&authSource=shop");
    assert_eq!(auth("mongodb+srv://u:p@h/shop"), "&authSource=admin");
    assert_eq!(
        auth("mongodb://u:p@h/shop?authSource=x&authMechanism=SCRAM-SHA-1"),
        "&authSource=x&authMechanism=SCRAM-SHA-1"
    );
}

/// The shim takes a role out of the function's string, and a shared Weir takes none: here is who
/// logs in instead.
#[test]
fn a_role_needs_a_user_of_the_services() {
    for own in [
        "mongodb://key:secret@h/?authMechanism=MONGODB-AWS",
        // The function's own role: the usual way on Lambda.
        "mongodb+srv://h/?authSource=%24external&authMechanism=MONGODB-AWS",
    ] {
        let error = chosen([("WEIR_SERVICE", "weir:1"), ("DB", own)]).unwrap_err();
        assert!(
            error.contains("MONGODB-AWS") && error.contains("user:password"),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
        let with_user = chosen([("WEIR_SERVICE", "mongodb://u:p@weir:1"), ("DB", own)]);
        assert_eq!(
            with_user.unwrap().text,
            "mongodb://u:p@weir:1/?loadBalanced=true&connectTimeoutMS=2000"
        );
        // At the database itself the role logs in.
        assert_eq!(
            chosen([("DB", own)]).unwrap().upstream_kind,
            UpstreamKind::Direct
        );
    }
}

#[test]
fn a_complete_upstream_is_used_as_it_is_written() {
    let upstream = "mongodb://a:b@one,two/?replicaSet=rs0";
    let chosen = chosen([("WEIR_UPSTREAM", upstream), ("DB", ATLAS)]).unwrap();
    assert_eq!(
        (chosen.text.as_str(), chosen.upstream_kind),
        (upstream, UpstreamKind::Direct)
    );
    assert_eq!(chosen.original.as_deref(), Some(ATLAS));
}

/// At any depth, as the shim changes them there.
#[test]
fn secrets_in_json_are_found() {
    let found = |value: &str| {
        let other = "{broken mongodb://h/";
        chosen([("SECRET", value), ("OTHER", other)]).map(|chosen| (chosen.from, chosen.text))
    };
    for value in [
        r#"{"username":"u","uri":"mongodb://u:p@h/x"}"#,
        r#"{"database":{"main":"mongodb://u:p@h/x"}}"#,
        r#" {"all":[1,{"it":"mongodb:\/\/u:p@h\/x"}],"n":null}"#,
        r#"{"a":"mongodb://u:p@h/x","b":"mongodb://u:p@h:27017/y"}"#,
    ] {
        let expected = ("SECRET".to_owned(), "mongodb://u:p@h/x".to_owned());
        assert_eq!(found(value), Ok(expected), "{value}");
    }
    for value in [
        r#"["mongodb://u:p@h/x"]"#,
        r#"{"mongodb://u:p@h/x":1}"#,
        r#"{"text":"see mongodb://u:p@h/x"}"#,
    ] {
        assert!(found(value).is_err(), "{value}");
    }
    let two = r#"{"a":"mongodb://one/","b":{"c":"mongodb://two/"}}"#;
    let error = found(two).unwrap_err();
    assert!(error.starts_with("SECRET lead"), "{error}");
}

#[test]
fn what_leads_to_the_extension_itself_is_no_road() {
    for own in [
        "mongodb://u:p@127.0.0.1:27017/",
        "mongodb://localhost/",
        "mongodb://127.0.0.1",
    ] {
        assert!(chosen([("DB", own)]).is_err(), "{own}");
    }
    let other = "mongodb://127.0.0.1:27018/";
    assert_eq!(chosen([("DB", other)]).unwrap().text, other);
}

/// A runtime without an exec wrapper: the function's string was changed by hand.
#[test]
fn a_string_that_leads_here_says_who_logs_in_to_the_service() {
    let service = ("WEIR_SERVICE", "weir:1");
    let text = |own: &str| chosen([service, ("DB", own)]).map(|chosen| chosen.text);
    let bare = "mongodb://weir:1/?loadBalanced=true&connectTimeoutMS=2000";
    let with = |login: &str, source: &str| {
        let bare = bare.replacen("//", &format!("//{login}@"), 1);
        Ok(format!("{bare}&authSource={source}"))
    };
    let here = "mongodb://u:p%40ss@127.0.0.1:27017/shop?authSource=x";
    assert_eq!(text(here), with("u:p%40ss", "x"));
    assert_eq!(text("mongodb://u:p@localhost/"), with("u:p", "admin"));
    assert_eq!(text("mongodb://localhost/").unwrap(), bare);
    // It is no way to the database.
    assert_eq!(chosen([service, ("DB", here)]).unwrap().original, None);
    // The service's own option comes first.
    let own = ("WEIR_SERVICE", "mongodb://a:b@weir:1");
    let own = chosen([own, ("DB", here)]).unwrap();
    assert!(own.text.starts_with("mongodb://a:b@weir:1"), "{}", own.text);
    let both = chosen([service, ("DB", here), ("FAR", ATLAS)]).unwrap();
    assert!(both.text.contains("//user:"), "{}", both.text);
    // Two users are no guess; one user twice is none to make.
    let two = |other| {
        chosen([service, ("DB", here), ("TWO", other)])
            .unwrap()
            .text
    };
    assert_eq!(two("mongodb://v:p@127.0.0.1/?authSource=x"), bare);
    let same = "mongodb://u:p%40ss@localhost:27017/?authSource=x";
    assert_eq!(Ok(two(same)), with("u:p%40ss", "x"));
}

#[test]
fn several_clusters_are_no_guess() {
    let two = [("ONE", "mongodb://one/"), ("TWO", "mongodb://two/")];
    let error = chosen(two).unwrap_err();
    assert!(
        error.contains("ONE, TWO") && error.contains("WEIR_SHIM_VARS"),
        "{error}"
    );
    let [one, two] = two;
    let named = chosen([one, two, ("WEIR_SHIM_VARS", "TWO")]).unwrap();
    assert_eq!(named.from, "TWO");
    let same = chosen([one, ("SAME", "mongodb://one/shop")]).unwrap();
    assert_eq!(same.from, "ONE");
}

#[test]
fn the_same_hosts_are_one_cluster_however_they_are_written() {
    let one = "mongodb://u:p@A.example:27017,b.example/?replicaSet=rs0";
    let same = "mongodb://u:p@b.example,a.example/shop";
    assert_eq!(chosen([("ONE", one), ("SAME", same)]).unwrap().from, "ONE");
}

/// The shim leaves it as it is, so that it needs nobody.
#[test]
fn what_the_shim_does_not_change_is_in_nobodys_way() {
    let ours = "mongodb://u:p@ours/";
    for other in [
        "mongodb://u:p@ldap/?authMechanism=PLAIN",
        "mongodb://x509/?tls=true&tlsCertificateKeyFile=/c.pem",
    ] {
        let both = chosen([("A", other), ("B", ours)]).unwrap();
        assert_eq!(both.from, "B", "{other}");
        assert_eq!(chosen([("A", other)]).unwrap().from, "A", "{other}");
    }
}

#[test]
fn what_is_missing_is_said_with_what_to_do() {
    let error = chosen([("STAGE", "prod")]).unwrap_err();
    assert!(error.contains("WEIR_SERVICE"), "{error}");
    let srv = chosen([("WEIR_SERVICE", "mongodb+srv://x/")]).unwrap_err();
    assert!(srv.contains("SRV"), "{srv}");
    let list = chosen([("WEIR_SERVICE", "a:1,b:1")]).unwrap_err();
    assert!(list.contains("one address"), "{list}");
}

/// The shim changes nothing then, and finds nobody.
#[test]
fn who_has_no_login_of_his_own_serves_no_contradiction() {
    let two = [("ONE", "mongodb://u:p@one/"), ("TWO", "mongodb://u:p@two/")];
    let [one, two] = two;
    let error = chosen([("WEIR_SERVICE", "weir:1"), one, two]).unwrap_err();
    assert!(error.contains("ONE, TWO"), "{error}");
    let own = chosen([("WEIR_SERVICE", "mongodb://a:b@weir:1"), one, two]).unwrap();
    assert_eq!(own.user, None);
}

#[test]
fn the_functions_own_login_is_known_whatever_the_extensions_is() {
    let service = ("WEIR_SERVICE", "mongodb://a:b@weir:1");
    let user = |own| chosen([service, ("DB", own)]).unwrap().user;
    let own = Some(("us er".to_owned(), "p@ss".to_owned()));
    assert_eq!(user("mongodb://us%20er:p%40ss@h/shop"), own);
    assert_eq!(user("mongodb://h/shop"), None);
    // The shim takes keys out.
    assert_eq!(
        user("mongodb://key:secret@h/?authMechanism=MONGODB-AWS"),
        None
    );
}

/// One upstream login has the rights of one user: the other's string stays as it is.
#[test]
fn of_two_users_of_one_cluster_one_is_served() {
    let one = ("ONE", "mongodb://h/");
    let two = ("TWO", "mongodb://u:p@h/x");
    let three = ("THREE", "mongodb://v:p@h/x");
    let first = chosen([one, two, three]).unwrap();
    assert_eq!(first.from, "THREE", "the first with a login");
    let warning = first.warning.unwrap();
    assert!(warning.starts_with("TWO logs in") && warning.contains("WEIR_SHIM_VARS"));
    assert!(!warning.contains("ONE"), "{warning}");
    let named = chosen([one, two, three, ("WEIR_SHIM_VARS", "TWO,ONE")]).unwrap();
    assert_eq!((named.from.as_str(), named.warning), ("TWO", None));
}

#[test]
fn options_are_read_as_the_shim_reads_them() {
    let service = ("WEIR_SERVICE", "mongodb://weir:1/?maxPoolSize=1");
    let own = (
        "DB",
        "mongodb://u:p@h/?w=1;authMechanism=default;authSource=x",
    );
    assert_eq!(
        chosen([service, own]).unwrap().text,
        "mongodb://u:p@weir:1/?loadBalanced=true&connectTimeoutMS=2000&authSource=x"
    );
    let strange = ("DB", "mongodb://u:p@h/?authMechanism=hunter2");
    let error = chosen([service, strange]).unwrap_err();
    assert!(!error.to_lowercase().contains("hunter2"), "{error}");
    // What the shim takes for no connection string is none.
    assert!(chosen([("DB", " mongodb://u:p@h/")]).is_err());
}
