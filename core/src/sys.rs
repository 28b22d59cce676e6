//! The one home of `unsafe`: calls into libc that no safe crate offers. Each block says why it is sound.
