mod connectives;
mod switch;
