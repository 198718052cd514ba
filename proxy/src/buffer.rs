//! Buffers that are used for one message and then kept for the next.
//!
//! An idle client or connection owns no buffer. Each thread keeps a few, all of one size. A buffer
//! that has grown is freed.

use std::cell::RefCell;

/// Capacity of a buffer, bytes. Most requests and replies fit.
pub const SIZE: usize = 16 * 1024;

/// Buffers that a thread keeps. More are in use for moments only.
const KEPT: usize = 64;

thread_local! {
    static FREE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Takes an empty buffer with a capacity of [`SIZE`] bytes.
#[must_use]
pub fn take() -> Vec<u8> {
    let free = FREE.with(|free| free.borrow_mut().pop());
    free.unwrap_or_else(|| Vec::with_capacity(SIZE))
}

/// Gives a buffer back. Its content is dropped.
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
