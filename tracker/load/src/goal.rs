//! What a figure has to reach, and how it is judged.

/// A bound on a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// It has to reach this.
    AtLeast(f64),
    /// It may not be more.
    AtMost(f64),
}

impl Bound {
    /// Writes a figure beside its bound: `0.50 (≤ 0.6: met)`.
    pub(crate) fn judge(self, figure: Option<f64>) -> String {
        let Some(figure) = figure else {
            return format!("? ({self})");
        };
        let is_met = match self {
            Self::AtLeast(bound) => figure >= bound,
            Self::AtMost(bound) => figure <= bound,
        };
        let verdict = if is_met { "met" } else { "MISSED" };
        format!("{figure:.2} ({self}: {verdict})")
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
        }
    }
}

/// Returns the median, if there is one.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(values[middle - 1], upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn figures_are_judged_in_their_direction() {
        let cost = Bound::AtMost(0.6);
        assert_eq!(cost.judge(Some(0.5)), "0.50 (≤ 0.6: met)");
        assert_eq!(cost.judge(Some(0.7)), "0.70 (≤ 0.6: MISSED)");
        let rate = Bound::AtLeast(2.0);
        assert_eq!(rate.judge(Some(2.1)), "2.10 (≥ 2: met)");
        assert_eq!(rate.judge(Some(1.9)), "1.90 (≥ 2: MISSED)");
        assert_eq!(rate.judge(None), "? (≥ 2)");
    }
}
