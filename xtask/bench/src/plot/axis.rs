//! From figures to places on an axis, and the round numbers that label it.

/// A larger figure is drawn as this, or else one absurd figure leaves no room for the others: 30 years in ms.
const MOST: f64 = 1e12;

/// The same for a smaller one, unless it is 0: a picosecond in ms.
const LEAST: f64 = 1e-9;

/// The figure within these, or None if it is no figure that can be measured.
pub(super) fn sane(figure: f64) -> Option<f64> {
    match figure {
        0.0 => Some(0.0),
        figure if figure.is_finite() && figure > 0.0 => Some(figure.clamp(LEAST, MOST)),
        _ => None,
    }
}

/// A straight line from one range to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    from: (f64, f64),
    to: (f64, f64),
    kind: Of,
}

/// What is laid out evenly.
#[derive(Clone, Copy, Debug)]
enum Of {
    Value,
    Logarithm,
    /// log10 of 1 / (1 - quantile): each step is ten times rarer.
    Tail,
}

impl Scale {
    pub(super) fn linear(from: (f64, f64), to: (f64, f64)) -> Self {
        Self { from, to, kind: Of::Value }
    }

    pub(super) fn log(from: (f64, f64), to: (f64, f64)) -> Self {
        Self { from, to, kind: Of::Logarithm }
    }

    pub(super) fn tail(from: (f64, f64), to: (f64, f64)) -> Self {
        Self { from, to, kind: Of::Tail }
    }

    /// The place of a value; one outside of the range is at its end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let [low, high, value] =
            [self.from.0, self.from.1, value.clamp(self.from.0, self.from.1)].map(|v| self.even(v));
        self.to.0 + (value - low) / (high - low) * (self.to.1 - self.to.0)
    }

    fn even(&self, value: f64) -> f64 {
        match self.kind {
            Of::Value => value,
            Of::Logarithm => value.log10(),
            Of::Tail => -(1.0 - value).log10(),
        }
    }
}

/// The narrowest range between 1, 2 or 5 times a power of ten that holds all these and is not empty.
pub(super) fn round_range(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let (low, high) = (values.clone().fold(f64::INFINITY, f64::min), values.fold(0.0, f64::max));
    let rounds = |decade: i32| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(decade));
    // 9.99 must not be too small for a 10 that arithmetic made 9.999999: a billionth is nothing on paper.
    let (low, high) = (low * (1.0 + 1e-9), high * (1.0 - 1e-9));
    let (first, last) = (low.log10().floor() as i32, high.log10().floor() as i32);
    let low = rounds(first).into_iter().rfind(|round| *round <= low).unwrap_or(10f64.powi(first));
    let high = rounds(last).into_iter().find(|round| *round >= high).unwrap_or(10f64.powi(last + 1));
    if low < high { (low, high) } else { (low, low * 10.0) }
}

/// Round numbers on a log axis: 1, 2 and 5, or whole decades, or every so many decades, until there are few enough.
pub(super) fn log_ticks((low, high): (f64, f64), most: usize) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let within = |value: &f64| (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(value);
    let of = |digits: &[f64], step: i32| -> Vec<f64> {
        let decades = (first..=last).filter(|decade| decade.rem_euclid(step) == 0);
        decades.flat_map(|decade| digits.iter().map(move |digit| digit * 10f64.powi(decade))).filter(within).collect()
    };
    let fine = of(&[1.0, 2.0, 5.0], 1);
    if fine.len() <= most {
        return fine;
    }
    let coarser = (1..=last - first).map(|step| of(&[1.0], step));
    coarser.into_iter().find(|ticks| ticks.len() <= most).unwrap_or_default()
}

/// Multiples of 1, 2 or 5 times a power of ten from 0, at most so many.
pub(super) fn linear_ticks(high: f64, most: usize) -> Vec<f64> {
    let least = high / most as f64;
    let decade = 10f64.powf(least.log10().floor());
    let step =
        [1.0, 2.0, 5.0].map(|digit| digit * decade).into_iter().find(|step| *step >= least).unwrap_or(10.0 * decade);
    (0..).map(|count| f64::from(count) * step).take_while(|tick| *tick <= high * (1.0 + 1e-9)).collect()
}

/// The number as people write it: three digits that count, or two below 1, and its thousands apart.
pub(super) fn number(value: f64) -> String {
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    let decimals = (if magnitude < 0 { 1 } else { 2 } - magnitude).clamp(0, 9) as usize;
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let mut apart = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    if rest.is_empty() { apart } else { format!("{apart}.{rest}") }
}

/// The same without zeros that say nothing: for the round numbers of an axis.
pub(super) fn round_number(value: f64) -> String {
    let text = number(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_as_many_is_one_step_on() {
        let scale = Scale::tail((0.0, 0.999), (0.0, 300.0));
        for (quantile, place) in [(0.0, 0.0), (0.9, 100.0), (0.99, 200.0), (0.999, 300.0), (1.0, 300.0)] {
            assert!((scale.place(quantile) - place).abs() < 1e-6, "{quantile}");
        }
    }

    #[test]
    fn a_log_axis_may_point_up() {
        let scale = Scale::log((1.0, 100.0), (200.0, 0.0));
        assert_eq!([0.0, 1.0, 10.0, 100.0, 1e9].map(|value| scale.place(value)), [200.0, 200.0, 100.0, 0.0, 0.0]);
    }

    #[test]
    fn ranges_are_round_and_never_empty() {
        assert_eq!(round_range([5.5, 371.2].into_iter()), (5.0, 500.0));
        assert_eq!(round_range([10.0, 1000.0].into_iter()), (10.0, 1000.0));
        assert_eq!(round_range([0.03, 9.9].into_iter()), (0.02, 10.0));
        assert_eq!(round_range([5.0].into_iter()), (5.0, 50.0));
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(log_ticks((5.0, 500.0), 12), [5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]);
        assert_eq!(log_ticks((5.0, 500.0), 3), [10.0, 100.0]);
        let wide = log_ticks((1e-3, 1e9), 6);
        assert!((2..=6).contains(&wide.len()), "{wide:?}");
        assert_eq!(linear_ticks(1.19, 6), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
    }

    #[test]
    fn numbers_are_written_as_people_do() {
        let numbers = [0.0, 0.032, 0.8, 1.0, 1.186, 39.61, 317.0, 3000.0, 1e9].map(number);
        assert_eq!(numbers, ["0.00", "0.032", "0.80", "1.00", "1.19", "39.6", "317", "3,000", "1,000,000,000"]);
        assert_eq!([0.0, 0.2, 1.0, 10.0, 1000.0].map(round_number), ["0", "0.2", "1", "10", "1,000"]);
    }
}
