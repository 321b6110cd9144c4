//! The derives need nothing that their user did not import: no prelude, no anyhow, no trait.
#![allow(clippy::unwrap_used)]

use redraft_engine::cx::Cx;
use redraft_engine::node::Registry;
use redraft_engine::schema::Schemas;

#[no_implicit_prelude]
mod bare {
    /// Names of ours that the user has other uses for.
    #[allow(dead_code)]
    mod taken {
        pub(super) struct Vec;
        pub(super) struct String;
        pub(super) struct Result;
        pub(super) struct Option;
    }
    #[allow(unused_imports)]
    use taken::{Option, Result, String, Vec};

    #[derive(::redraft_engine::Combo)]
    pub(super) enum Which {
        One,
        #[combo(name = "two of them")]
        Two,
    }

    #[derive(::redraft_engine::Choices)]
    pub(super) enum Mode {
        Plain,
        Sized {
            #[input(default = 3, min = 1)]
            width: ::std::primitive::u64,
        },
    }

    #[derive(::redraft_engine::Outputs)]
    pub(super) struct Both {
        pub(super) text: ::std::string::String,
        /// How wide.
        #[output(name = "w")]
        pub(super) width: ::std::primitive::u64,
    }

    /// Takes everything.
    #[allow(dead_code)]
    #[derive(::redraft_engine::Node)]
    #[node(category = "bare", hidden("prompt", "unique_id"), revision = 2)]
    pub(super) struct Bare {
        #[input(default = "x", multiline)]
        pub(super) text: ::std::string::String,
        #[input(files = "checkpoints", upload = Image)]
        pub(super) file: ::std::option::Option<::std::string::String>,
        pub(super) which: Which,
        pub(super) mode: Mode,
        #[input(prefix = "n", min = 1, max = 3)]
        pub(super) many: ::redraft_engine::dynamic::Grow<::std::primitive::i64>,
        #[input(rest)]
        pub(super) rest: ::redraft_engine::io::Rest<::redraft_engine::io::Wildcard>,
    }

    impl ::redraft_engine::node::Run for Bare {
        type Out = Both;

        fn run(self, _: &mut ::redraft_engine::cx::Cx) -> ::redraft_engine::anyhow::Result<Both> {
            let width = match (self.which, self.mode) {
                (Which::One, Mode::Plain) => 1,
                (Which::One, Mode::Sized { width }) => width,
                (Which::Two, _) => 2,
            };
            ::std::result::Result::Ok(Both { text: self.text, width })
        }
    }
}

#[test]
fn a_bare_node_is_declared_and_runs() {
    let registry = Registry::linked().unwrap();
    let schema = registry.schema("Bare").unwrap();
    let names: Vec<_> = schema.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(names, ["text", "file", "which", "mode", "many"]);
    assert_eq!(schema.outputs[1].name, "w");
    assert_eq!(registry.class("Bare").unwrap().traits.revision, 2);
    let node = bare::Bare {
        text: "t".into(),
        file: None,
        which: bare::Which::One,
        mode: bare::Mode::Sized { width: 7 },
        many: redraft_engine::dynamic::Grow(vec![1]),
        rest: redraft_engine::io::Rest(Default::default()),
    };
    let both = Cx::for_test().run(node).unwrap();
    assert_eq!((both.text.as_str(), both.width), ("t", 7));
}
