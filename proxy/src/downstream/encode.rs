//! Gives a reply the form that its request had.

use crate::{
    downstream::read::Envelope,
    relay::fresh_id,
    wire::{
        compressed::{WORTH_COMPRESSING, compress},
        legacy,
        op_msg::{self, OpMsg},
    },
};

/// Turns a plain OP_MSG reply into the form that `envelope` demands. `None`: the reply is
/// malformed.
pub(crate) fn encode(envelope: &Envelope, mut message: Vec<u8>) -> Option<Vec<u8>> {
    if envelope.legacy {
        let body = OpMsg::parse(&message).ok()?.body;
        return Some(legacy::op_reply(
            fresh_id(),
            envelope.id,
            message.get(body)?,
        ));
    }
    if envelope.checksum {
        op_msg::append_checksum(&mut message);
    }
    match envelope.codec {
        Some(codec) if message.len() >= WORTH_COMPRESSING => compress(&message, codec).ok(),
        _ => Some(message),
    }
}
