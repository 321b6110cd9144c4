//! Tables to which other crates add rows: samplers, schedules, kinds of model folders.
//!
//! A table is a constant slice of rows. What linkme gathers are tables, not rows, because it keeps no order: the stock rows come
//! first, as they stand in their table, and behind them those of each further table, the tables by the name of their first row.
//!
//! ```ignore
//! redraft_engine::open_table!(pub SAMPLER_TABLES: Sampler = SAMPLERS, "sampler");
//!
//! // In another crate:
//! redraft_engine::add_rows!(SAMPLER_TABLES: Sampler = [plain("mine", mine)]);
//! ```

use crate::io::Combo;

/// Rows of one table.
#[derive(Clone, Copy, Debug)]
pub struct Rows<T: 'static> {
    rows: &'static [T],
    stock: bool,
}

impl<T> Rows<T> {
    /// The rows that a table is declared with.
    pub const fn stock(rows: &'static [T]) -> Self {
        Self { rows, stock: true }
    }

    /// Rows that another crate adds.
    pub const fn further(rows: &'static [T]) -> Self {
        Self { rows, stock: false }
    }
}

/// A row of an open table; implemented by [`open_table!`](crate::open_table).
pub trait Row: Sized + 'static {
    /// What a row is, in messages.
    const KIND: &'static str;

    fn name(&self) -> &'static str;

    /// Every row that is linked into this program. Of two with one name the first counts; [`check`] tells of the other.
    fn all() -> &'static [&'static Self];

    /// The row of a name.
    fn find(name: &str) -> Option<&'static Self> {
        Self::all().iter().copied().find(|row| row.name() == name)
    }
}

/// A field of a node that chooses a row.
impl<T: Row> Combo for &'static T {
    fn names() -> Vec<&'static str> {
        T::all().iter().map(|row| row.name()).collect()
    }

    fn from_name(name: &str) -> Option<Self> {
        T::find(name)
    }
}

/// Two declarations have one name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {kind} {name} is declared twice{}; rename one of the two, or link only one", .by.as_ref().map(|(one, two)| format!(", by {one} and {two}")).unwrap_or_default())]
pub struct Twice {
    pub kind: &'static str,
    pub name: String,
    /// The Rust types that declare it, where it is a type.
    pub by: Option<(&'static str, &'static str)>,
}

/// What makes sure that no table has two rows of one name, one function for each table.
#[linkme::distributed_slice]
pub static CHECKS: [fn() -> Result<(), Twice>];

/// All rows of a table, in order.
#[doc(hidden)]
pub fn gathered<T: Row>(tables: &'static [Rows<T>]) -> Vec<&'static T> {
    let mut tables: Vec<_> = tables.iter().filter(|table| !table.rows.is_empty()).collect();
    tables.sort_by_key(|table| (!table.stock, table.rows[0].name()));
    tables.into_iter().flat_map(|table| table.rows).collect()
}

/// # Errors
/// If two rows have one name.
pub fn check<T: Row>() -> Result<(), Twice> {
    let mut seen = std::collections::HashSet::new();
    match T::all().iter().find(|row| !seen.insert(row.name())) {
        Some(row) => Err(Twice { kind: T::KIND, name: row.name().to_owned(), by: None }),
        None => Ok(()),
    }
}

/// Declares an open table: `open_table!(pub TABLES: Row = STOCK_ROWS, "what a row is")`. The row has a field `name`. A node's
/// field of the type `&'static Row` is a combo of all rows.
#[macro_export]
macro_rules! open_table {
    ($(#[$meta:meta])* $vis:vis $tables:ident: $row:ty = $stock:expr, $kind:literal) => {
        // How linkme places a static counts as unsafe code.
        $(#[$meta])*
        #[allow(unsafe_code)]
        #[$crate::linkme::distributed_slice]
        #[linkme(crate = $crate::linkme)]
        $vis static $tables: [$crate::table::Rows<$row>];

        impl $crate::table::Row for $row {
            const KIND: &'static str = $kind;

            fn name(&self) -> &'static str {
                self.name
            }

            fn all() -> &'static [&'static Self] {
                static ALL: ::std::sync::LazyLock<::std::vec::Vec<&'static $row>> =
                    ::std::sync::LazyLock::new(|| $crate::table::gathered(&$tables));
                &ALL
            }
        }

        $crate::combo_field!(&'static $row);

        const _: () = {
            #[allow(unsafe_code)]
            #[$crate::linkme::distributed_slice($tables)]
            #[linkme(crate = $crate::linkme)]
            static STOCK: $crate::table::Rows<$row> = $crate::table::Rows::stock($stock);

            #[allow(unsafe_code)]
            #[$crate::linkme::distributed_slice($crate::table::CHECKS)]
            #[linkme(crate = $crate::linkme)]
            static CHECK: fn() -> ::std::result::Result<(), $crate::table::Twice> = $crate::table::check::<$row>;
        };
    };
}

/// Adds rows to an open table: `add_rows!(TABLES: Row = [ROW, ...])`.
#[macro_export]
macro_rules! add_rows {
    ($tables:ident: $row:ty = $rows:expr) => {
        const _: () = {
            #[allow(unsafe_code)]
            #[$crate::linkme::distributed_slice($tables)]
            #[linkme(crate = $crate::linkme)]
            static ROWS: $crate::table::Rows<$row> = $crate::table::Rows::further(&$rows);
        };
    };
}
