//! Buffers that are lent for the time of one message and come back for the next.
//!
//! An idle client or connection owns none. Each thread keeps a few, all of one size;
//! whatever has grown beyond it is freed.

use std::cell::RefCell;

/// Capacity of a lent buffer, bytes: most requests and replies fit.
pub const SIZE: usize = 16 * 1024;

/// Buffers a thread keeps: more are in use only for moments.
const KEPT: usize = 64;

thread_local! {
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer of at least [`SIZE`] bytes.
#[must_use]
pub fn take() -> Vec<u8> {
    let free = FREE.with(|free| free.borrow_mut().pop());
    free.unwrap_or_else(|| Vec::with_capacity(SIZE))
}

/// Brings a buffer back; its content is forgotten.
pub fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() != SIZE {
        return;
    }
    buffer.clear();
    FREE.with(|free| {
        let mut free = free.borrow_mut();
        if free.len() < KEPT {
            free.push(buffer);
        }
    });
}
