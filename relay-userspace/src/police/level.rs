//! What each of many may have so that all together have what there is: max-min fairness. Arithmetic only.

/// What somebody did in the last round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// In a second.
    pub used: f64,
    /// Wanted more than was given.
    pub hungry: bool,
    /// May not have more anyway.
    pub cap: f64,
}

/// The most anybody may have of `total`. Whoever wants less leaves the rest to those who want more; what nobody wants
/// is there for whoever begins, a part for each that is active and one more, so that many who begin at once do not
/// take it all at once.
pub fn level(total: f64, demands: &[Demand]) -> f64 {
    let wanted = |demand: &Demand| match demand.hungry {
        true => demand.cap,
        false => demand.used.min(demand.cap),
    };
    let mut wants: Vec<f64> = demands.iter().map(wanted).filter(|w| *w > 0.0).collect();
    wants.sort_by(f64::total_cmp);
    let mut left = total;
    for (index, want) in wants.iter().enumerate() {
        let part = left / (wants.len() - index) as f64;
        if *want >= part {
            return part;
        }
        left -= want;
    }
    let most = wants.last().copied().unwrap_or(0.0);
    (most + left / (wants.len() + 1) as f64).min(total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn greedy(cap: f64) -> Demand {
        Demand {
            used: 0.0,
            hungry: true,
            cap,
        }
    }

    fn modest(used: f64) -> Demand {
        Demand {
            used,
            hungry: false,
            cap: f64::INFINITY,
        }
    }

    #[test]
    fn who_wants_less_than_a_part_leaves_the_rest_to_the_others() {
        let greedy = greedy(f64::INFINITY);
        assert_eq!(level(90.0, &[greedy, greedy, greedy]), 30.0);
        assert_eq!(level(90.0, &[modest(10.0), greedy, greedy]), 40.0);
        assert_eq!(
            level(90.0, &[self::greedy(20.0), greedy, modest(0.0)]),
            70.0
        );
        assert_eq!(level(90.0, &[]), 90.0);
        assert_eq!(level(90.0, &[modest(30.0)]), 60.0);
    }

    proptest! {
        #[test]
        fn together_they_have_all_of_it_or_what_they_want(
            total in 1.0..1e9f64,
            demands in prop::collection::vec((0.0..1e9f64, any::<bool>(), 1.0..1e9f64), 1..40),
        ) {
            let demands: Vec<_> = demands
                .into_iter()
                .map(|(used, hungry, cap)| Demand { used, hungry, cap })
                .collect();
            let level = level(total, &demands);
            let want = |d: &Demand| if d.hungry { d.cap } else { d.used.min(d.cap) };
            let given: f64 = demands.iter().map(|d| want(d).min(level)).sum();
            let wanted: f64 = demands.iter().map(want).sum();
            prop_assert!((given - total.min(wanted)).abs() <= total * 1e-6, "{given} of {total}");
        }
    }
}
