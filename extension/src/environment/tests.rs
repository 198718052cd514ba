//! What follows a bad end.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Lambda refuses to register an extension twice, and waits for it to ask for the next event.
#[tokio::test]
async fn who_is_registered_goes_straight_to_answering() {
    let lambda = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = lambda.local_addr().unwrap().to_string();
    let answering = tokio::spawn(async move {
        let (mut stream, _) = lambda.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let body = r#"{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":1}"#;
        let length = body.len();
        let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(reply.as_bytes()).await.unwrap();
        String::from_utf8(head).unwrap()
    });
    let env = Env::from([("AWS_LAMBDA_RUNTIME_API", address.as_str())]);
    let settings = Settings::read(&env);
    let known = OnceLock::from(Registered::known_as("id-7"));
    let mut environment = Environment::new(&env, &settings, None);
    environment.live(&env, None, &known).await;
    let first = answering.await.unwrap();
    assert!(
        first.starts_with("GET /2020-01-01/extension/event/next"),
        "{first}"
    );
    assert!(first.contains("id-7"), "{first}");
}
