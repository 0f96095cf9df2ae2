//! Line plots as SVG, drawn here so that a report needs nothing from elsewhere. Colours are CSS
//! variables of the page around it: `--ink`, `--grid`, `--series-0` and so on.

use std::fmt::Write as _;

/// The picture's size in its own units; the page scales it.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;
/// Room around the plot for words.
const LEFT: f64 = 72.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 44.0;

/// One line of a plot.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name in the legend.
    pub name: &'static str,
    /// Its points, x rising.
    pub points: Vec<(f64, f64)>,
}

/// How values become heights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From zero.
    Linear,
    /// By powers of ten; values below 1 count as 1.
    Log,
}

/// A plot before it is drawn.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What it shows, for those who cannot see it too.
    pub title: &'static str,
    /// What stands below the horizontal axis.
    pub x_label: &'static str,
    /// Marks of the horizontal axis; none: chosen by the data.
    pub x_marks: Option<Vec<(f64, String)>>,
    /// How the vertical axis runs.
    pub y_scale: Scale,
    /// How a value of the vertical axis is written.
    pub y_show: fn(f64) -> String,
    /// The lines.
    pub series: Vec<Series>,
}

struct Frame {
    x: (f64, f64),
    y: (f64, f64),
    scale: Scale,
}

impl Frame {
    /// The frame around all points; none if there are none.
    fn around(plot: &Plot) -> Option<Self> {
        let points = || plot.series.iter().flat_map(|series| &series.points);
        let bounds = |pick: fn(&(f64, f64)) -> f64| {
            points().map(pick).filter(|value| value.is_finite()).fold(None, |bounds, value| {
                let (low, high) = bounds.unwrap_or((value, value));
                Some((f64::min(low, value), f64::max(high, value)))
            })
        };
        let (x, y) = (bounds(|point| point.0)?, bounds(|point| point.1)?);
        let y = match plot.y_scale {
            Scale::Linear => (0.0, if y.1 > 0.0 { y.1 * 1.08 } else { 1.0 }),
            Scale::Log => {
                let low = y.0.max(1.0).log10().floor();
                (low, y.1.max(1.0).log10().ceil().max(low + 1.0))
            }
        };
        let x = if x.1 > x.0 { x } else { (x.0, x.0 + 1.0) };
        Some(Self { x, y, scale: plot.y_scale })
    }

    fn at_x(&self, x: f64) -> f64 {
        LEFT + (x - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }

    fn at_y(&self, y: f64) -> f64 {
        let y = if self.scale == Scale::Log { y.max(1.0).log10() } else { y };
        HEIGHT - BOTTOM - (y - self.y.0) / (self.y.1 - self.y.0) * (HEIGHT - TOP - BOTTOM)
    }

    fn y_marks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => steps(self.y.0, self.y.1),
            Scale::Log => {
                (self.y.0 as i32..=self.y.1 as i32).map(|power| 10_f64.powi(power)).collect()
            }
        }
    }
}

impl Plot {
    /// The plot as one SVG element; with a sentence in place of lines if there is no data.
    pub fn svg(&self) -> String {
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n\
             <title>{title}</title>\n",
            title = escape(self.title)
        );
        match Frame::around(self) {
            Some(frame) => self.draw(&frame, &mut svg),
            None => text(&mut svg, WIDTH / 2.0, HEIGHT / 2.0, "middle", "nothing was measured"),
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn draw(&self, frame: &Frame, svg: &mut String) {
        for y in frame.y_marks() {
            let at = frame.at_y(y);
            line(svg, (LEFT, at), (WIDTH - RIGHT, at));
            text(svg, LEFT - 8.0, at + 4.0, "end", &(self.y_show)(y));
        }
        let marks = self.x_marks.clone().unwrap_or_else(|| {
            steps(frame.x.0, frame.x.1).into_iter().map(|x| (x, trimmed(x))).collect()
        });
        for (x, words) in marks.iter().filter(|(x, _)| (frame.x.0..=frame.x.1).contains(x)) {
            let at = frame.at_x(*x);
            line(svg, (at, TOP), (at, HEIGHT - BOTTOM));
            text(svg, at, HEIGHT - BOTTOM + 18.0, "middle", words);
        }
        text(svg, LEFT.midpoint(WIDTH - RIGHT), HEIGHT - 6.0, "middle", self.x_label);
        for (index, series) in self.series.iter().enumerate() {
            polyline(svg, index, series, frame);
        }
        let mut at = LEFT;
        for (index, series) in self.series.iter().enumerate() {
            let _ = writeln!(
                svg,
                "<rect x=\"{at}\" y=\"12\" width=\"14\" height=\"4\" style=\"fill:var(--series-{index})\"/>"
            );
            text(svg, at + 20.0, 18.0, "start", series.name);
            at += 44.0 + 7.5 * series.name.len() as f64;
        }
    }
}

fn polyline(svg: &mut String, index: usize, series: &Series, frame: &Frame) {
    let _ = write!(
        svg,
        "<polyline fill=\"none\" stroke-width=\"1.8\" stroke-linejoin=\"round\" \
         style=\"stroke:var(--series-{index})\" points=\""
    );
    for &(x, y) in series.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite()) {
        let _ = write!(svg, "{:.1},{:.1} ", frame.at_x(x), frame.at_y(y));
    }
    svg.push_str("\"/>\n");
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" style=\"stroke:var(--grid)\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"12\" \
         style=\"fill:var(--ink)\">{}</text>",
        escape(words)
    );
}

/// Words as they may stand in HTML and SVG.
pub fn escape(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Round values between two bounds, some five of them.
fn steps(low: f64, high: f64) -> Vec<f64> {
    let span = high - low;
    if !(span.is_finite() && span > 0.0) {
        return vec![low];
    }
    let power = 10_f64.powf((span / 5.0).log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let step = factors.map(|factor| factor * power).into_iter().find(|step| span / step <= 6.0);
    let step = step.unwrap_or(power * 10.0);
    let first = (low / step).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|index| index as f64 * step).collect()
}

fn trimmed(value: f64) -> String {
    let words = format!("{value:.3}");
    words.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, f64)>) -> Plot {
        Plot {
            title: "a < b",
            x_label: "seconds",
            x_marks: None,
            y_scale: Scale::Log,
            y_show: |value| format!("{value}"),
            series: vec![Series { name: "one", points }],
        }
    }

    #[test]
    fn without_data_the_plot_says_so() {
        let svg = plot(Vec::new()).svg();
        assert!(svg.contains("nothing was measured") && svg.trim_end().ends_with("</svg>"));
        let none = Plot { series: Vec::new(), ..plot(Vec::new()) }.svg();
        assert!(none.contains("nothing was measured"));
        assert!(plot(vec![(f64::NAN, f64::NAN)]).svg().contains("nothing was measured"));
    }

    #[test]
    fn one_point_and_zero_are_drawn_within_the_frame() {
        for points in [vec![(0.0, 0.0)], vec![(5.0, 1e9)], vec![(0.0, 0.0), (1.0, 3e10)]] {
            for scale in [Scale::Log, Scale::Linear] {
                let svg = Plot { y_scale: scale, ..plot(points.clone()) }.svg();
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                assert!(svg.contains("<polyline") && svg.contains("a &lt; b"));
            }
        }
    }

    #[test]
    fn marks_are_round_and_few() {
        assert_eq!(steps(0.0, 10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(steps(0.0, 0.0), [0.0]);
        for high in [0.3, 1.0, 7.0, 99.0, 123_456.0] {
            let count = steps(0.0, high).len();
            assert!((3..=7).contains(&count), "{count} marks up to {high}");
        }
    }
}
