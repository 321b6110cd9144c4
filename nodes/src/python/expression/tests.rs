#![allow(clippy::unwrap_used)]
use super::*;

fn names() -> IndexMap<String, Term> {
    let numbers = [Number::whole(7), Number::Float(2.5), Number::Bool(true)];
    let each = ["a", "b", "c"].into_iter().map(str::to_owned).zip(numbers.clone().map(Term::Number));
    each.chain([("values".to_owned(), Term::List(numbers.into()))]).collect()
}

/// Figures from simpleeval 1.0.8 with ComfyUI's functions: the value as Python's `repr` writes it, with a = 7, b = 2.5, c = True.
#[rustfmt::skip]
const FIGURES: [(&str, &str); 80] = [
    ("a + b", "9.5"),
    ("a * b - c", "16.5"),
    ("a // 2", "3"),
    ("-a // 2", "-4"),
    ("-a % 4", "1"),
    ("a % -4", "-1"),
    ("-7.5 % 2", "0.5"),
    ("7.5 // -2", "-4.0"),
    ("a ** 2 ** 0", "7"),
    ("-2 ** 2", "-4"),
    ("2 ** -1", "0.5"),
    ("2 ** 100 % 1000", "376"),
    ("10 ** 30 / 10 ** 28", "100.0"),
    ("a / 2", "3.5"),
    ("a if b > 2 else 0", "7"),
    ("1 if a < 3 else 2 if a < 8 else 3", "2"),
    ("a > 3 and b", "2.5"),
    ("a < 3 or b", "2.5"),
    ("not a", "False"),
    ("not a == 7", "False"),
    ("3 < a < 10", "True"),
    ("3 < a < 5", "False"),
    ("1 if 2.5 in values else 0", "1"),
    ("2 not in values", "True"),
    ("sum(values)", "10.5"),
    ("sum(values[1:])", "3.5"),
    ("max(values)", "7"),
    ("min(a, b, c)", "True"),
    ("values[-1] + values[0]", "8"),
    ("round(2.5)", "2"),
    ("round(3.5)", "4"),
    ("round(2.675, 2)", "2.67"),
    ("round(1234.5678, -2)", "1200.0"),
    ("round(1250, -2)", "1200"),
    ("round(1350, ndigits=-2)", "1400"),
    ("round(-0.5)", "0"),
    ("int(-3.7)", "-3"),
    ("ceil(b)", "3"),
    ("floor(-b)", "-3"),
    ("sqrt(16)", "4.0"),
    ("log(8, 2)", "3.0"),
    ("log2(1024)", "10.0"),
    ("log10(10 ** 400)", "400.0"),
    ("abs(-a)", "7"),
    ("abs(-2.5)", "2.5"),
    ("pow(2, 0.5)", "1.4142135623730951"),
    ("pow(2, 10)", "1024"),
    ("sin(1) ** 2 + cos(1) ** 2", "1.0"),
    ("float(3)", "3.0"),
    ("True + True", "2"),
    ("c & True", "True"),
    ("c ^ True", "False"),
    ("6 & 3 | 8", "10"),
    ("1 << 10 >> 3", "128"),
    ("~a", "-8"),
    ("0x1F + 0b101 + 0o17", "51"),
    ("1_000 * 2", "2000"),
    ("1e3 + .5", "1000.5"),
    ("5. / 2", "2.5"),
    ("(a +\n b)", "9.5"),
    ("a; b", "7"),
    ("a + b # sum", "9.5"),
    ("(1 if a else 2) * 3", "3"),
    ("3 if values else 4", "3"),
    ("max(1, 1.0)", "1"),
    ("round(0.5 + 1e-9)", "1"),
    ("(2 ** 64 + 1) / 3", "6.148914691236517e+18"),
    ("-(2 ** 70) / 7", "-1.6865594581677303e+20"),
    ("1 if 0 else 2 + 3", "5"),
    ("abs(c)", "1"),
    ("+c", "1"),
    ("int(c) + int(7.99)", "8"),
    ("round(5.015, 2)", "5.01"),
    ("0 ** 0", "1"),
    ("0.0 ** 0", "1.0"),
    ("(-8) ** 2", "64"),
    ("2 < 3 == 3", "True"),
    ("1e308 * 10", "inf"),
    ("a // 0.3", "23.0"),
    ("-1e-20 % 3", "3.0"),
];

#[test]
fn values_are_python_s() {
    let told = |text: &str| evaluate(text, &names()).map_or_else(|flaw| flaw.to_string(), |number| number.to_string());
    let all = FIGURES.into_iter().map(|(text, wanted)| (text, wanted, told(text)));
    let wrong: Vec<_> = all.filter(|(_, wanted, found)| wanted != found).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What Python refuses, or gives no number for.
#[test]
fn what_has_no_value_is_told() {
    for (text, words) in [
        ("", "a number or a name is missing before its end"),
        ("a +", "a number or a name is missing before its end"),
        ("(a", "')' is missing before its end"),
        ("a b", "'b' is not expected there"),
        ("d", "there is no 'd'; it may name a, b, c, values"),
        ("a / 0", "it divides by zero"),
        ("a % 0", "it divides by zero"),
        ("1 // 0.0", "it divides by zero"),
        ("0 ** -1", "it divides by zero"),
        ("(-8) ** 0.5", "a root of a negative number is no number"),
        ("sqrt(-1)", "a root of a negative number is no number"),
        ("log(0)", "only positive numbers have a logarithm"),
        ("foo(1)", "there is no function 'foo'; use sum"),
        ("values", "a list stands where a number is wanted"),
        ("values[9]", "the list has 3 members"),
        ("values + 1", "a list stands where a number is wanted"),
        ("min([3, 1, 2])", "a number or a name is missing before '['"),
        ("'x' * 3", "is not understood"),
        ("2 ** 99999999", "a million bits"),
        ("1 << 99999999", "a million bits"),
        ("pow(2, 5000)", "is beyond 4000"),
        ("lambda: 3", "':' is not expected there"),
        ("__import__('os')", "is not understood"),
        ("a if b", "'else' is missing before its end"),
        ("1.5 & 2", "'&' is for whole numbers"),
        ("round(1, 2, 3)", "round takes 1 or 2 numbers, and is given 3"),
        ("min()", "min needs at least one number"),
        ("007", "'007' is no number"),
        ("1__0", "'1__0' is no number"),
        ("5j", "'5j' is no number"),
        ("10.0 ** 400", "larger than floats are"),
        ("int(1e400)", "inf cannot be made a whole number"),
    ] {
        let flaw = evaluate(text, &names()).map(|number| number.to_string()).unwrap_err().to_string();
        assert!(flaw.contains(words), "{text}: {flaw}");
    }
}

#[test]
fn deep_and_long_ones_are_refused() {
    let told = |text: String| evaluate(&text, &names()).unwrap_err().to_string();
    assert!(told(format!("{}a{}", "(".repeat(900), ")".repeat(900))).contains("nested too deep"));
    assert!(told(format!("{}a", "-".repeat(900))).contains("nested too deep"));
    assert!(told(format!("0{}", "+a".repeat(40_000))).contains("words and signs; write at most 2000"));
    assert!(told("1+".repeat(60_000)).contains("write at most 100000"));
    assert_eq!(evaluate(&format!("0{}", "+a".repeat(999)), &names()).unwrap(), Number::whole(6993));
}
