//! SVG: drawings as text.

use std::rc::Rc;

/// The texts of SVG files. A clone shares them.
#[derive(Debug, Clone)]
pub struct Svg(pub Rc<[String]>);
