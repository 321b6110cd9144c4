//! Nodes under the names and with the behaviour of third-party packs, so that workflows which use them run. Names, inputs and behaviour
//! are the packs'; every line here is our own, and none of the packs is needed. A program that links this crate
//! (`use redraft_packs as _;`) has them beside ComfyUI's.
//!
//! A pack is a folder here, with one file for each group of nodes; the table below says what it is called and where it comes from. What
//! several packs need (`gaussian.rs`, `paths.rs`) or may need (`opencv/`, `networks/`) lies beside the folders.

mod controlnet_aux;
mod custom_scripts;
mod essentials;
mod gaussian;
mod gguf;
mod impact;
mod inspire;
mod kjnodes;
mod list_utils;
mod networks;
mod opencv;
mod paths;
mod rgthree;
mod video_helper_suite;
mod was;

use redraft_engine::packs::{PACK_TABLES, Pack};

/// The package's version and a digest of its sources.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "-", env!("REDRAFT_SOURCES"));

redraft_engine::add_rows!(PACK_TABLES: Pack = [
    Pack {
        name: "ComfyUI-KJNodes",
        module: "redraft_packs::kjnodes::",
        source: "https://github.com/kijai/ComfyUI-KJNodes",
        version: VERSION,
        licence: "GPL-3.0",
    },
    Pack {
        name: "ComfyUI-Impact-Pack",
        module: "redraft_packs::impact::",
        source: "https://github.com/ltdrdata/ComfyUI-Impact-Pack",
        version: VERSION,
        licence: "GPL-3.0",
    },
    Pack {
        name: "ComfyUI_essentials",
        module: "redraft_packs::essentials::",
        source: "https://github.com/cubiq/ComfyUI_essentials",
        version: VERSION,
        licence: "MIT",
    },
    Pack {
        name: "ComfyUI-GGUF",
        module: "redraft_packs::gguf::",
        source: "https://github.com/city96/ComfyUI-GGUF",
        version: VERSION,
        licence: "Apache-2.0",
    },
    Pack {
        name: "ComfyUI-Custom-Scripts",
        module: "redraft_packs::custom_scripts::",
        source: "https://github.com/pythongosssss/ComfyUI-Custom-Scripts",
        version: VERSION,
        licence: "MIT",
    },
    Pack {
        name: "ComfyUI-List-Utils",
        module: "redraft_packs::list_utils::",
        source: "https://github.com/godmt/ComfyUI-List-Utils",
        version: VERSION,
        licence: "MIT",
    },
    Pack {
        name: "rgthree-comfy",
        module: "redraft_packs::rgthree::",
        source: "https://github.com/rgthree/rgthree-comfy",
        version: VERSION,
        licence: "MIT",
    },
    Pack {
        name: "ComfyUI-VideoHelperSuite",
        module: "redraft_packs::video_helper_suite::",
        source: "https://github.com/Kosinkadink/ComfyUI-VideoHelperSuite",
        version: VERSION,
        licence: "GPL-3.0",
    },
    Pack {
        name: "ComfyUI-Inspire-Pack",
        module: "redraft_packs::inspire::",
        source: "https://github.com/ltdrdata/ComfyUI-Inspire-Pack",
        version: VERSION,
        licence: "GPL-3.0",
    },
    Pack {
        name: "comfyui_controlnet_aux",
        module: "redraft_packs::controlnet_aux::",
        source: "https://github.com/Fannovel16/comfyui_controlnet_aux",
        version: VERSION,
        licence: "Apache-2.0",
    },
    Pack {
        name: "was-node-suite-comfyui",
        module: "redraft_packs::was::",
        source: "https://github.com/WASasquatch/was-node-suite-comfyui",
        version: VERSION,
        licence: "MIT",
    },
]);
