//! Widths and heights that the nodes which resize have in common.

/// The largest size of the shape of `columns` × `rows` within `width` × `height`, of which one may be 0: it follows from the other.
pub(super) fn within((columns, rows): (i64, i64), width: i64, height: i64) -> (i64, i64) {
    let scaled = |side: i64, ratio: f64| (side as f64 * ratio).round_ties_even() as i64;
    let ratio = |wanted: i64, have: i64| wanted as f64 / have as f64;
    match (width, height) {
        (0, height) => (scaled(columns, ratio(height, rows)), height),
        (width, 0) => (width, scaled(rows, ratio(width, columns))),
        (width, height) => {
            let ratio = ratio(width, columns).min(ratio(height, rows));
            (scaled(columns, ratio), scaled(rows, ratio))
        }
    }
}

/// `width` × `height`, where a 0 stands for the side that there is.
pub(super) fn stretched((columns, rows): (i64, i64), width: i64, height: i64) -> (i64, i64) {
    (if width == 0 { columns } else { width }, if height == 0 { rows } else { height })
}

/// Both sides cut to a multiple, if it is one.
pub(super) fn cut((width, height): (i64, i64), multiple: i64) -> (i64, i64) {
    let cut = |side: i64| if multiple > 1 { side - side % multiple } else { side };
    (cut(width), cut(height))
}
