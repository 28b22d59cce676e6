//! Fetches what the tests need.

fn main() -> anyhow::Result<()> {
    dkms_tests::setup::run()
}
