//! Bytes that no driver sends. Weir closes that client, and nobody else's.

use anyhow::{Result, ensure};
use bson::doc;
use weir_tests::message::{COMPRESSED, MSG, kind_0, kind_1, message, op_msg_sections};
use weir_tests::raw::Raw;

use crate::support::single;

#[tokio::test]
async fn malformed_messages_end_their_own_connection_only() -> Result<()> {
    let weir = single().await?;
    let mut bystander = Raw::connect(weir.address()).await?;
    let ping = || doc! { "ping": 1 };
    bystander.command("admin", ping()).await?;

    let body = kind_0(&doc! { "ping": 1, "$db": "admin" });
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a length below a header's", words(&[15, 1, 0, MSG])),
        ("a negative length", words(&[-1, 1, 0, MSG])),
        ("a length beyond the limit", words(&[48_000_001, 1, 0, MSG])),
        ("an unknown opcode", message(1, 0, 4_711, b"")),
        ("a removed opcode", message(1, 0, 2002, &[0; 32])),
        ("no section", op_msg_sections(1, 0, 0, &[])),
        (
            "an unknown required flag",
            op_msg_sections(1, 0, 1 << 5, std::slice::from_ref(&body)),
        ),
        (
            "two bodies",
            op_msg_sections(1, 0, 0, &[body.clone(), body.clone()]),
        ),
        (
            "a sequence without a body",
            op_msg_sections(1, 0, 0, &[kind_1("documents", &[])]),
        ),
        (
            "an unknown section",
            op_msg_sections(1, 0, 0, &[vec![9, 5, 0, 0, 0, 0]]),
        ),
        (
            "a document cut short",
            op_msg_sections(1, 0, 0, &[vec![0, 99, 0, 0, 0, 0]]),
        ),
        (
            "an empty compressed message",
            message(1, 0, COMPRESSED, b""),
        ),
    ];
    for (what, bytes) in cases {
        let mut raw = Raw::connect(weir.address()).await?;
        raw.send(&bytes).await?;
        ensure!(raw.closed().await.is_ok(), "{what} kept its connection");
        let reply = bystander.command("admin", ping()).await?;
        ensure!(reply.contains_key("ok"), "after {what}: {reply}");
    }
    Ok(())
}

/// The hello of TLS announces 66,326 bytes, read as a message; nobody waits for the rest.
#[tokio::test]
async fn a_client_that_speaks_tls_to_a_plain_port_is_told_of_in_the_log() -> Result<()> {
    let weir = single().await?;
    let mut raw = Raw::connect(weir.address()).await?;
    let mut hello = vec![22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
    hello.extend((0..194).map(|n| n ^ 0x5a));
    raw.send(&hello).await?;
    raw.closed().await?;
    weir.wait_for_log("speaks TLS to a plain port").await?;
    Ok(())
}

fn words(words: &[i32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Sections in any order, and one byte at a time, are unusual but right.
#[tokio::test]
async fn unusual_but_right_messages_are_served() -> Result<()> {
    let weir = single().await?;
    let mut raw = Raw::connect(weir.address()).await?;
    let name = weir_tests::cluster::unique("odd");
    let sections = [
        kind_1("documents", &[doc! { "_id": 1 }, doc! { "_id": 2 }]),
        kind_0(&doc! { "insert": &name, "$db": "odd" }),
    ];
    let bytes = op_msg_sections(77, 0, 0, &sections);
    raw.send_in_pieces(&bytes, 1).await?;
    let reply = raw.receive().await?;
    ensure!(reply.response_to == 77);
    ensure!(reply.body.get_i32("n")? == 2, "{}", reply.body);
    Ok(())
}
