use redraft_engine::io::{Field, Misfit, Value, Widget};
use redraft_engine::schema::Kind;

/// The seed of a sampling run's noise, of 64 bits. Over a link it may be below 0, which stands for the same bits without a sign, as in
/// torch's generators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seed(pub(super) u64);

impl Field for Seed {
    fn kind(widget: Widget) -> Kind {
        u64::kind(widget)
    }

    fn from_value(value: &Value) -> Result<Self, Misfit> {
        match value.downcast::<i128>().map(|number| i64::try_from(*number)) {
            Some(Ok(number)) => Ok(Self(number.cast_unsigned())),
            _ => u64::from_value(value).map(Self),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// `torch.manual_seed(-1)` and `torch.manual_seed(2**64 - 1)` are one.
    #[test]
    fn bits_are_kept() {
        let seed = |number: i128| Seed::from_value(&Value::new("INT", number)).map(|seed| seed.0);
        assert_eq!((seed(7).unwrap(), seed(-1).unwrap()), (7, u64::MAX));
        assert_eq!(seed(i128::from(u64::MAX)).unwrap(), u64::MAX);
        assert_eq!(seed(i128::from(i64::MIN)).unwrap(), 1 << 63);
        assert!(seed(i128::from(i64::MIN) - 1).is_err() && seed(1 << 64).is_err());
    }
}
