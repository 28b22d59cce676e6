//! The host under test.
