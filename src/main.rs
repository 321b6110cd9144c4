//! The `redraft` command, with all nodes of this repository.

#[cfg(feature = "packs")]
use redraft_packs as _;

fn main() -> std::process::ExitCode {
    redraft::main()
}
