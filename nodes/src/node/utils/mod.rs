mod custom_combo;
mod preview_any;
mod primitives;
mod regex;
mod strings;

pub(super) use strings::replaced;
