mod create_list;
mod custom_combo;
mod json_texts;
mod lettered;
mod math_expression;
mod numbers;
mod preview_any;
mod primitives;
mod regex;
mod save_text;
mod strings;

pub(super) use strings::replaced;
