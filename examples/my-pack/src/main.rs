//! `redraft` with the nodes of this pack beside ComfyUI's: every command, `check` and `nodes` as well as `run`, knows them.

use my_pack as _;

fn main() -> std::process::ExitCode {
    redraft::main()
}
