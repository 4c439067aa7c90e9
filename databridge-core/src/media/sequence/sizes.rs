//! Frames whose size says that something went wrong.

/// As many sizes are needed before one of them can be far from the others.
const FEWEST: usize = 5;

/// Which of `sizes` are far from the median: those whose modified z-score is above
/// 3.5 (B. Iglewicz and D. Hoaglin, *How to Detect and Handle Outliers*, 1993), that is
/// 0.6745 times the distance over the median distance. Where more than half are equal,
/// as in a format of fixed size, every other one is.
pub fn outliers(sizes: &[u64]) -> Vec<usize> {
    if sizes.len() < FEWEST {
        return Vec::new();
    }
    let middle = median(sizes.to_vec());
    let spread = median(sizes.iter().map(|size| size.abs_diff(middle)).collect());
    let is_far = |size: u64| u128::from(size.abs_diff(middle)) * 6745 > u128::from(spread) * 35_000;
    sizes.iter().enumerate().filter(|(_, size)| is_far(**size)).map(|(at, _)| at).collect()
}

fn median(mut sizes: Vec<u64>) -> u64 {
    let middle = sizes.len() / 2;
    *sizes.select_nth_unstable(middle).1
}
