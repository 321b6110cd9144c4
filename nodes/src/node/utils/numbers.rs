//! Nodes that make numbers of other things.

use anyhow::{Context, bail, ensure};
use redraft_engine::cx::Cx;
use redraft_engine::io::{Emit, Field, Misfit, Socket, Value, Widget};
use redraft_engine::node::Run;
use redraft_engine::python::{parse_float, parse_int};
use redraft_engine::schema::Kind;
use redraft_engine::{Combo, Node, Outputs};
use serde_json::{Value as Json, json};

use crate::python::expression::Number;
use crate::python::text::is_space;

/// Makes a number of a text, a truth or another number.
#[derive(Node)]
#[node(class = "ComfyNumberConvert", category = "utilities", display = "Convert Number")]
struct NumberConvert {
    value: NumberOrText,
}

#[derive(Outputs)]
struct Converted {
    #[output(name = "FLOAT")]
    float: f64,
    #[output(name = "INT")]
    int: i128,
}

impl Run for NumberConvert {
    type Out = Converted;

    fn run(self, _: &mut Cx) -> anyhow::Result<Converted> {
        let number = match self.value {
            NumberOrText::Number(number) => number,
            NumberOrText::Text(text) => {
                let plain = text.trim_matches(is_space);
                ensure!(!plain.is_empty(), "an empty text is no number; connect one that is");
                let number = parse_int(plain).map(Number::whole).or_else(|| parse_float(plain).map(Number::Float));
                number
                    .with_context(|| format!("the text '{}' is no number; connect one that is", text.escape_debug()))?
            }
        };
        let float = number.as_float();
        ensure!(float.is_finite(), "{float} is no number that can be converted; connect another");
        let Some(int) = number.truncated() else { bail!("{float} does not fit into an INT; connect a smaller number") };
        Ok(Converted { float, int })
    }
}

enum NumberOrText {
    Number(Number),
    Text(String),
}

impl Field for NumberOrText {
    fn kind(_: Widget) -> Kind {
        Kind::Socket("INT,FLOAT,STRING,BOOLEAN".to_owned())
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        let int = value.downcast::<i128>().map(|int| Self::Number(Number::whole(*int)));
        let float = || value.downcast::<f64>().map(|float| Self::Number(Number::Float(*float)));
        let flag = || value.downcast::<bool>().map(|flag| Self::Number(Number::Bool(*flag)));
        let text = || value.downcast::<String>().map(|text| Self::Text(text.clone()));
        let wanted = || Misfit::Type { wanted: "a number or a text".to_owned(), found: value.type_name().to_owned() };
        int.or_else(float).or_else(flag).or_else(text).ok_or_else(wanted)
    }
}

/// A seed for several nodes.
#[derive(Node)]
#[node(class = "SeedNode", category = "utilities", display = "Seed")]
struct Seed {
    #[input(min = 0, max = i64::MAX, control_after_generate)]
    seed: i64,
}

#[derive(Outputs)]
struct OneSeed {
    #[output(name = "seed")]
    seed: i64,
}

impl Run for Seed {
    type Out = OneSeed;

    fn run(self, _: &mut Cx) -> anyhow::Result<OneSeed> {
        Ok(OneSeed { seed: self.seed })
    }
}

/// Gives a width and a height of an aspect ratio, with about so many pixels.
#[derive(Node)]
#[node(category = "utilities", display = "Resolution Selector")]
struct ResolutionSelector {
    #[input(default = "1:1 (Square)")]
    aspect_ratio: AspectRatio,
    /// How many pixels there are to be, in units of 1024 × 1024.
    #[input(default = 1.0, min = 0.1, max = 16.0, step = 0.1)]
    megapixels: f64,
    /// Width and height are rounded to a multiple of it.
    #[input(default = 8, min = 8, max = 128, step = 4)]
    multiple: i64,
}

#[derive(Combo, Clone, Copy)]
enum AspectRatio {
    #[combo(name = "1:1 (Square)")]
    Square,
    #[combo(name = "2:3 (Portrait Photo)")]
    PortraitPhoto,
    #[combo(name = "3:2 (Photo)")]
    Photo,
    #[combo(name = "3:4 (Portrait Standard)")]
    PortraitStandard,
    #[combo(name = "4:3 (Standard)")]
    Standard,
    #[combo(name = "9:16 (Portrait Widescreen)")]
    PortraitWidescreen,
    #[combo(name = "16:9 (Widescreen)")]
    Widescreen,
    #[combo(name = "21:9 (Ultrawide)")]
    Ultrawide,
}

impl AspectRatio {
    /// Width to height.
    fn parts(self) -> (f64, f64) {
        match self {
            Self::Square => (1.0, 1.0),
            Self::PortraitPhoto => (2.0, 3.0),
            Self::Photo => (3.0, 2.0),
            Self::PortraitStandard => (3.0, 4.0),
            Self::Standard => (4.0, 3.0),
            Self::PortraitWidescreen => (9.0, 16.0),
            Self::Widescreen => (16.0, 9.0),
            Self::Ultrawide => (21.0, 9.0),
        }
    }
}

#[derive(Outputs)]
struct Resolution {
    #[output(name = "width")]
    width: i64,
    #[output(name = "height")]
    height: i64,
}

impl Run for ResolutionSelector {
    type Out = Resolution;

    fn run(self, _: &mut Cx) -> anyhow::Result<Resolution> {
        let (width, height) = self.aspect_ratio.parts();
        let scale = (self.megapixels * 1024.0 * 1024.0 / (width * height)).sqrt();
        let multiple = self.multiple as f64;
        let side = |part: f64| (part * scale / multiple).round_ties_even() as i64 * self.multiple;
        Ok(Resolution { width: side(width), height: side(height) })
    }
}

/// Gives a colour as one number, red · 65536 + green · 256 + blue, and as text.
#[derive(Node)]
#[node(class = "ColorToRGBInt", category = "utilities", display = "Color Picker")]
struct ColorPicker {
    /// `#RRGGBB` or `#RRGGBBAA`.
    color: Color,
}

/// A colour as `#RRGGBB`, on a wire and in its widget.
struct Color(String);

impl Field for Color {
    fn kind(_: Widget) -> Kind {
        Kind::Widget { ty: "COLOR".to_owned(), default: Some(json!("#ffffff")) }
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        let constant = value.downcast::<Json>().and_then(Json::as_str).map(str::to_owned);
        constant.map_or_else(|| String::from_value(value), Ok).map(Self)
    }
}

impl Emit for Color {
    const TYPE: &'static str = "COLOR";

    fn into_socket(self) -> Socket {
        std::rc::Rc::new([Value::new("STRING", self.0)])
    }
}

#[derive(Outputs)]
struct Picked {
    #[output(name = "rgb_int")]
    rgb: i64,
    /// Without the alpha.
    #[output(name = "hex")]
    hex: Color,
    #[output(name = "alpha")]
    alpha: f64,
}

impl Run for ColorPicker {
    type Out = Picked;

    fn run(self, _: &mut Cx) -> anyhow::Result<Picked> {
        let color = self.color.0;
        let digits = color.strip_prefix('#').filter(|digits| matches!(digits.len(), 6 | 8));
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let shown = color.escape_debug();
        let digits = digits.with_context(|| format!("'{shown}' is no colour; write it as #RRGGBB or #RRGGBBAA"))?;
        let alpha = match digits.get(6..8) {
            Some(alpha) => i64::from_str_radix(alpha, 16)? as f64 / 255.0,
            None => 1.0,
        };
        Ok(Picked { rgb: i64::from_str_radix(&digits[..6], 16)?, hex: Color(format!("#{}", &digits[..6])), alpha })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Figures from ComfyUI 0.33.0.
    #[test]
    fn resolutions_are_comfyui_s() {
        for (aspect_ratio, megapixels, multiple, wanted) in [
            (AspectRatio::Square, 1.0, 8, (1024, 1024)),
            (AspectRatio::Widescreen, 1.0, 8, (1368, 768)),
            (AspectRatio::Ultrawide, 2.0, 64, (2240, 960)),
            (AspectRatio::PortraitPhoto, 0.5, 16, (592, 880)),
        ] {
            let found = Cx::for_test().run(ResolutionSelector { aspect_ratio, megapixels, multiple }).unwrap();
            assert_eq!((found.width, found.height), wanted);
        }
    }

    #[test]
    fn texts_and_truths_become_numbers() {
        let convert = |value| Cx::for_test().run(NumberConvert { value }).map(|found| (found.float, found.int));
        let text = |text: &str| convert(NumberOrText::Text(text.to_owned()));
        assert_eq!(text(" 1_000 ").unwrap(), (1000.0, 1000));
        assert_eq!(text("-2.7").unwrap(), (-2.7, -2));
        assert_eq!(text("1e3").unwrap(), (1000.0, 1000));
        assert_eq!(convert(NumberOrText::Number(Number::Bool(true))).unwrap(), (1.0, 1));
        for (given, words) in [("", "an empty text"), ("x", "the text 'x' is no number"), ("inf", "inf is no number")] {
            assert!(text(given).unwrap_err().to_string().contains(words));
        }
    }

    #[test]
    fn colours_are_read() {
        let pick = |color: &str| Cx::for_test().run(ColorPicker { color: Color(color.to_owned()) });
        let found = pick("#10Ff0280").unwrap();
        assert_eq!((found.rgb, &*found.hex.0, found.alpha), (0x10ff02, "#10Ff02", 128.0 / 255.0));
        assert_eq!(pick("#000000").unwrap().alpha, 1.0);
        for wrong in ["", "#fff", "red", "#gggggg", "#+12345", "#1234567", "#é1234"] {
            assert!(pick(wrong).err().unwrap().to_string().contains("is no colour"), "{wrong}");
        }
    }
}
