//! Little-endian integers in byte slices. None of the functions can panic.

/// The signed number at offset `at`; `None`: the bytes do not all exist.
#[inline]
pub(super) fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|c| i32::from_le_bytes(*c))
}

/// The unsigned number at offset `at`; `None`: the bytes do not all exist.
#[inline]
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|c| u32::from_le_bytes(*c))
}

/// Overwrites the bytes at offset `at` with `value`; `false`: nothing was written, because the
/// bytes do not all exist.
#[inline]
pub(super) fn put(bytes: &mut [u8], at: usize, value: &[u8]) -> bool {
    let slot = at
        .checked_add(value.len())
        .and_then(|end| bytes.get_mut(at..end));
    match slot {
        Some(slot) => {
            slot.copy_from_slice(value);
            true
        }
        None => false,
    }
}

/// Overwrites the four bytes at offset `at`, as [`put`] does.
#[inline]
pub(super) fn put_i32(bytes: &mut [u8], at: usize, value: i32) -> bool {
    put(bytes, at, &value.to_le_bytes())
}

/// A length as it is on the wire. A length that does not fit saturates, and every reader refuses
/// that value.
#[inline]
pub(super) fn length(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}
