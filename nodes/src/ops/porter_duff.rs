//! Compositing by Porter and Duff (1984), and blend modes, with premultiplied colours.

use redraft_engine::Combo;
use tch::Tensor;

/// How a source is composited with a destination.
#[derive(Combo, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    #[combo(name = "ADD")]
    Add,
    #[combo(name = "CLEAR")]
    Clear,
    #[combo(name = "DARKEN")]
    Darken,
    #[combo(name = "DST")]
    Dst,
    #[combo(name = "DST_ATOP")]
    DstAtop,
    #[combo(name = "DST_IN")]
    DstIn,
    #[combo(name = "DST_OUT")]
    DstOut,
    #[combo(name = "DST_OVER")]
    DstOver,
    #[combo(name = "LIGHTEN")]
    Lighten,
    #[combo(name = "MULTIPLY")]
    Multiply,
    #[combo(name = "OVERLAY")]
    Overlay,
    #[combo(name = "SCREEN")]
    Screen,
    #[combo(name = "SRC")]
    Src,
    #[combo(name = "SRC_ATOP")]
    SrcAtop,
    #[combo(name = "SRC_IN")]
    SrcIn,
    #[combo(name = "SRC_OUT")]
    SrcOut,
    #[combo(name = "SRC_OVER")]
    SrcOver,
    #[combo(name = "XOR")]
    Xor,
}

/// Pixels with an alpha below this become black, instead of being divided by it.
const INVISIBLE: f64 = 1e-5;

/// Composites a source (picture B×C×H×W, mask B×1×H×W) with a destination. Masks are 1 where a picture is transparent,
/// also that of the result.
pub fn composite(mode: Mode, source: (&Tensor, &Tensor), destination: (&Tensor, &Tensor)) -> (Tensor, Tensor) {
    let (sa, da) = (1.0 - source.1, 1.0 - destination.1);
    let (s, d) = (source.0 * &sa, destination.0 * &da);
    let (colour, alpha) = premultiplied(mode, (&s, &sa), (&d, &da));
    let visible = alpha.gt(INVISIBLE).expand_as(&colour);
    let colour = (&colour / &alpha).where_self(&visible, &colour.zeros_like()).clamp(0.0, 1.0);
    (colour, 1.0 - alpha)
}

/// Colour and alpha of the result. Colours are premultiplied by alpha, in the inputs and in the result.
fn premultiplied(mode: Mode, (s, sa): (&Tensor, &Tensor), (d, da): (&Tensor, &Tensor)) -> (Tensor, Tensor) {
    let through = |alpha: &Tensor| -> Tensor { 1.0 - alpha };
    let union = || sa + da - sa * da;
    let around = || through(da) * s + through(sa) * d;
    match mode {
        Mode::Add => ((s + d).clamp(0.0, 1.0), (sa + da).clamp(0.0, 1.0)),
        Mode::Clear => (d.zeros_like(), da.zeros_like()),
        Mode::Darken => (around() + s.minimum(d), union()),
        Mode::Dst => (d.shallow_clone(), da.shallow_clone()),
        Mode::DstAtop => (sa * d + through(da) * s, sa.shallow_clone()),
        Mode::DstIn => (d * sa, sa * da),
        Mode::DstOut => (through(sa) * d, through(sa) * da),
        Mode::DstOver => (d + through(da) * s, da + through(da) * sa),
        Mode::Lighten => (around() + s.maximum(d), union()),
        Mode::Multiply => (s * d, sa * da),
        Mode::Overlay => {
            let dark: Tensor = 2.0 * s * d;
            let light = sa * da - (da - s) * (sa - d) * 2.0;
            (dark.where_self(&(d * 2.0).lt_tensor(da), &light), union())
        }
        Mode::Screen => (s + d - s * d, union()),
        Mode::Src => (s.shallow_clone(), sa.shallow_clone()),
        Mode::SrcAtop => (da * s + through(sa) * d, da.shallow_clone()),
        Mode::SrcIn => (s * da, sa * da),
        Mode::SrcOut => (through(da) * s, through(da) * sa),
        Mode::SrcOver => (s + through(sa) * d, sa + through(sa) * da),
        Mode::Xor => (around(), through(da) * sa + through(sa) * da),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(mode: Mode, s: (f64, f64), d: (f64, f64)) -> (f64, f64) {
        let t = |value: f64| Tensor::from_slice(&[value]).view([1, 1, 1, 1]);
        let (colour, mask) = composite(mode, (&t(s.0), &t(s.1)), (&t(d.0), &t(d.1)));
        (colour.double_value(&[0, 0, 0, 0]), mask.double_value(&[0, 0, 0, 0]))
    }

    #[test]
    fn opaque_and_invisible_pictures() {
        assert_eq!(one(Mode::SrcOver, (0.25, 0.0), (0.75, 0.0)), (0.25, 0.0));
        assert_eq!(one(Mode::SrcOver, (0.25, 1.0), (0.75, 0.0)), (0.75, 0.0));
        assert_eq!(one(Mode::Clear, (0.25, 0.0), (0.75, 0.0)), (0.0, 1.0));
        assert_eq!(one(Mode::DstOut, (0.25, 0.0), (0.75, 0.0)), (0.0, 1.0));
    }

    /// Worked out by hand from the published rules.
    #[test]
    fn half_transparent_pictures() {
        // Over: alpha 0.5 + 0.5·0.5, colour (0.125 + 0.5·0.375) / 0.75.
        let (colour, mask) = one(Mode::SrcOver, (0.25, 0.5), (0.75, 0.5));
        assert!((mask - 0.25).abs() < 1e-12 && (colour - 0.3125 / 0.75).abs() < 1e-12);
        // Xor: alpha 0.5·0.5 twice, colour 0.5·(0.125 + 0.375) / 0.5.
        let (colour, mask) = one(Mode::Xor, (0.25, 0.5), (0.75, 0.5));
        assert!((mask - 0.5).abs() < 1e-12 && (colour - 0.5).abs() < 1e-12);
    }
}
