//! The tutorial's API: numbers in, what is to be said about them out.

use serde::{Deserialize, Serialize};

use crate::http::{Refusal, Request, Response};
use crate::prelude::*;

/// What is posted.
#[derive(Deserialize)]
struct Data {
    numbers: Vec<f64>,
}

/// What is answered.
#[derive(Serialize)]
struct Summary {
    count: usize,
    sum: f64,
    mean: f64,
    min: f64,
    max: f64,
}

/// `POST /api/data`.
pub(super) async fn data(mut request: Request) -> Result<Response> {
    let Data { numbers } = request.json().await?; // 400 when it is none
    let summary = summary(&numbers).ok_or(Refusal::new(400, "There are no numbers in it."))?;
    if !summary.sum.is_finite() {
        return Err(Refusal::new(400, "Their sum is too large for a number.").into()); // JSON has no infinity
    }
    Response::json(&summary)
}

fn summary(numbers: &[f64]) -> Option<Summary> {
    let &first = numbers.first()?;
    let sum = numbers.iter().sum::<f64>();
    Some(Summary {
        count: numbers.len(),
        sum,
        mean: sum / numbers.len() as f64,
        min: numbers.iter().copied().fold(first, f64::min),
        max: numbers.iter().copied().fold(first, f64::max),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_summed_up_and_nothing_is_not() {
        let all = summary(&[3.0, 1.0, 2.0]).expect("three numbers");
        assert_eq!((all.count, all.sum, all.mean, all.min, all.max), (3, 6.0, 2.0, 1.0, 3.0));
        assert!(summary(&[]).is_none());
    }
}
