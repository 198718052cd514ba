//! Builds OP_MSG messages around a finished body.

use super::header::{HEADER_LEN, Header, opcode};

/// Bytes before the body of a message with one kind-0 section.
pub const BODY_AT: usize = HEADER_LEN + 5;

/// An OP_MSG with `body` as its only section. `flags` are written as they are. For a checksum use [`append_checksum`](super::op_msg::append_checksum).
pub fn op_msg(request_id: i32, response_to: i32, flags: u32, body: &[u8]) -> Vec<u8> {
    let length = BODY_AT + body.len();
    let header = Header {
        length,
        request_id,
        response_to,
        op_code: opcode::MSG,
    };
    let mut message = Vec::with_capacity(length);
    message.extend_from_slice(&header.encode());
    message.extend_from_slice(&flags.to_le_bytes());
    message.push(0);
    message.extend_from_slice(body);
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::OpMsg;

    #[test]
    fn one_section_byte_for_byte() {
        let message = op_msg(7, 9, 2, &[5, 0, 0, 0, 0]);
        #[rustfmt::skip]
        assert_eq!(message, [
            26, 0, 0, 0,  7, 0, 0, 0,  9, 0, 0, 0,  0xDD, 0x07, 0, 0,
            2, 0, 0, 0,
            0,  5, 0, 0, 0, 0,
        ]);
    }

    #[test]
    fn reads_back() {
        let body = [5, 0, 0, 0, 0];
        let message = op_msg(1, 2, 0, &body);
        let parsed = OpMsg::parse(&message).unwrap();
        assert_eq!(&message[parsed.body.clone()], body);
        assert_eq!(parsed.body.start, BODY_AT);
        assert!(parsed.body_first);
    }
}
