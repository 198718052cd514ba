//! Little-endian integers inside byte slices, without a way to panic.

/// The signed number whose first byte is at `at`; `None` past the end.
#[inline]
pub(super) fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|c| i32::from_le_bytes(*c))
}

/// The unsigned number whose first byte is at `at`; `None` past the end.
#[inline]
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|c| u32::from_le_bytes(*c))
}

/// Writes `value` over the bytes at `at`; `false` (and nothing written) when
/// they do not all exist.
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

/// Writes the four bytes of `value` at `at`, as [`put`].
#[inline]
pub(super) fn put_i32(bytes: &mut [u8], at: usize, value: i32) -> bool {
    put(bytes, at, &value.to_le_bytes())
}

/// A length as the wire carries it. Lengths that do not fit saturate, and every
/// reader refuses that value.
#[inline]
pub(super) fn length(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}
