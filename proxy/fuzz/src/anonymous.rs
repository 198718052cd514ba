//! The code that a client reaches before it has logged in, in the order in which its bytes pass
//! it: frame, length limit, compression, checksum, sections or the legacy opcode, facts, login.
//! This target comes first, because an attacker needs no password for it.

use weir::command::{Facts, Treatment};
use weir::downstream::auth::Login;
use weir::wire::compressed::{decompress, plain_len};
use weir::wire::header::{Header, opcode};
use weir::wire::legacy::Query;
use weir::wire::op_msg::{self, CHECKSUM_PRESENT, OpMsg};
use weir::wire::{raw, reply};

use super::login::{AUTHENTICATOR, nonce};

/// The longest message that is read before a login, in bytes. The same limit stands in
/// `downstream`.
const LONGEST: usize = 64 * 1024;

/// The input is all that one connection sends. It must not log a client in.
pub fn anonymous(data: &[u8]) {
    walk(data);
}

/// Returns how many steps of a login were answered without an error.
pub(crate) fn walk(data: &[u8]) -> usize {
    let (mut login, mut rest, mut steps) = (Login::default(), data, 0);
    while let Ok(Some(header)) = Header::decode(rest, LONGEST) {
        let Some((message, next)) = rest.split_at_checked(header.length) else {
            break;
        };
        rest = next;
        let Some((message, op_code)) = unpacked(message, header.op_code) else {
            break;
        };
        let Some(command) = command_of(message, op_code) else {
            break;
        };
        steps += usize::from(answer(&command, &mut login));
        assert!(login.identity().is_none(), "logged in without a password");
    }
    steps
}

/// The message before its compression, and its opcode.
fn unpacked(message: &[u8], op_code: i32) -> Option<(Vec<u8>, i32)> {
    if op_code != opcode::COMPRESSED {
        return Some((message.to_vec(), op_code));
    }
    let announced = plain_len(message).filter(|length| *length <= LONGEST)?;
    let plain = decompress(message, announced).ok()?;
    assert!(plain.len() <= announced, "more than was announced");
    let inner = Header::decode(&plain, LONGEST).ok().flatten()?;
    assert_eq!(inner.length, plain.len());
    Some((plain, inner.op_code))
}

/// The command as an OP_MSG without checksum.
fn command_of(mut message: Vec<u8>, op_code: i32) -> Option<Vec<u8>> {
    match op_code {
        opcode::MSG => {
            if op_msg::flags(&message).unwrap_or_default() & CHECKSUM_PRESENT != 0 {
                OpMsg::parse(&message).ok()?;
                op_msg::strip_checksum(&mut message);
            }
            Some(message)
        }
        opcode::QUERY => {
            let query = Query::parse(&message).ok()?;
            Some(reply::op_msg(1, 0, 0, &message[query.body]))
        }
        _ => None,
    }
}

/// Treats the message as Weir does before a login. Returns whether a login advanced by a step.
fn answer(message: &[u8], login: &mut Login) -> bool {
    let Ok(msg) = OpMsg::parse(message) else {
        return false;
    };
    let Ok(facts) = Facts::read(message, &msg) else {
        return false;
    };
    let (name, body) = (facts.name.of(message), facts.body.of(message));
    let db = String::from_utf8_lossy(facts.db.of(message)).into_owned();
    match facts.treatment {
        Treatment::Hello => {
            let speculation = raw::find(body, b"speculativeAuthenticate");
            let speculation = speculation.and_then(|field| field.as_document());
            speculation.is_some_and(|document| {
                let said = login.speculate(document, &AUTHENTICATOR, nonce);
                said.is_ok()
            })
        }
        Treatment::Login => login
            .command(name, &db, body, &AUTHENTICATOR, nonce)
            .is_some_and(|said| said.is_ok()),
        _ => false,
    }
}
