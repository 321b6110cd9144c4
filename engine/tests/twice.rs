//! Two packs that do not go together: a class name, or a row's, given twice.
#![allow(clippy::unwrap_used)]

use redraft_engine::Node;
use redraft_engine::cx::Cx;
use redraft_engine::folder_kinds::{FOLDER_KIND_TABLES, FolderKind};
use redraft_engine::node::{Class, Registry, Run};
use redraft_engine::table::Row;

macro_rules! doubled {
    ($name:ident) => {
        mod $name {
            use super::*;

            #[derive(Node)]
            #[node(category = "twice")]
            pub(super) struct Doubled {}

            impl Run for Doubled {
                type Out = ();
                fn run(self, _: &mut Cx) -> anyhow::Result<()> {
                    Ok(())
                }
            }
        }
    };
}
doubled!(one);
doubled!(two);

redraft_engine::add_rows!(FOLDER_KIND_TABLES: FolderKind = [FolderKind::new("motion_modules", &["motion"]), FolderKind::new("loras", &["other_loras"])]);

#[test]
fn a_name_given_twice_is_an_error() {
    let of = |classes: Vec<Class>| Registry::of(classes).map(|_| ()).unwrap_err().to_string();
    assert_eq!(
        of(vec![Class::of::<two::Doubled>(), Class::of::<one::Doubled>()]),
        "the node class Doubled is declared twice, by twice::one::Doubled and twice::two::Doubled; rename one of the two, or \
         link only one"
    );
    let error = Registry::linked().map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the kind of model folder loras is declared twice; rename one of the two, or link only one"
    );
}

#[test]
fn further_rows_stand_behind_the_stock_ones() {
    let names: Vec<_> = FolderKind::all().iter().map(|kind| kind.name).collect();
    assert_eq!((names[0], names[names.len() - 2], names[names.len() - 1]), ("checkpoints", "motion_modules", "loras"));
    assert_eq!(FolderKind::find("loras").unwrap().below_models, ["loras"], "the first counts");
    let folders = redraft_engine::folders::FolderPaths::below("base".as_ref());
    assert!(folders.directories("motion_modules")[0].ends_with("base/models/motion"));
}
