//! A run as a picture: memory above, lag below, over time.

use std::fmt::Write;

use super::{LAGS, MEMORY, Report, Sample, mebibytes};

const WIDTH: f64 = 860.0;
const PANEL_HEIGHT: f64 = 190.0;
/// Left and right of a panel, for its scale and for its name at the end.
const MARGIN: f64 = 64.0;
/// Above the first panel and between two.
const GAP: f64 = 46.0;
/// Of normalize and of group-convert; both can be told apart on white and on
/// black, and by who sees no red or green.
const COLOURS: [&str; 2] = ["#1f77b4", "#e08214"];

/// A line of a panel.
struct Line {
    name: &'static str,
    points: Vec<(f64, f64)>,
}

/// The picture as SVG.
pub fn svg(report: &Report) -> String {
    let line = |name, value: &dyn Fn(&Sample) -> f64| Line {
        name,
        points: report.samples.iter().map(|sample| (sample.second / 60.0, value(sample))).collect(),
    };
    let memory = MEMORY.map(|(name, bytes)| line(name, &|sample| mebibytes(bytes(sample) as f64)));
    let lags = LAGS.map(|(name, waiting)| line(name, &|sample| waiting(sample) as f64 / report.rate));
    let height = 2.0 * (PANEL_HEIGHT + GAP) + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let minutes = report.samples.last().map_or(1.0, |sample| (sample.second / 60.0).max(0.1));
    panel(&mut svg, GAP, "resident memory, MiB", &memory, minutes);
    panel(&mut svg, 2.0 * GAP + PANEL_HEIGHT, "what waits for its fate, in seconds of the rate", &lags, minutes);
    put(
        &mut svg,
        format_args!("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">minutes</text>\n", WIDTH / 2.0, height - 6.0),
    );
    svg + "</svg>\n"
}

fn panel(svg: &mut String, top: f64, title: &str, lines: &[Line], minutes: f64) {
    let most = lines.iter().flat_map(|line| &line.points).map(|point| point.1).fold(1.0, f64::max);
    let step = step(most);
    let ceiling = (most / step).ceil() * step;
    let (left, right, bottom) = (MARGIN, WIDTH - 2.0 * MARGIN, top + PANEL_HEIGHT);
    let x = |minute: f64| left + (right - left) * minute / minutes;
    let y = |value: f64| bottom - PANEL_HEIGHT * value / ceiling;
    put(svg, format_args!("<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{title}</text>\n", top - 12.0));
    let mut value = 0.0;
    while value <= ceiling {
        let at = y(value);
        put(
            svg,
            format_args!(
                "<path d=\"M{left} {at:.1}H{right}\" stroke=\"#dddddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>\n",
                left - 8.0,
                at + 4.0
            ),
        );
        value += step;
    }
    let every = self::step(minutes);
    let mut minute = 0.0;
    while minute <= minutes {
        let at = x(minute);
        put(svg, format_args!("<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{minute}</text>\n", bottom + 18.0));
        minute += every;
    }
    for (line, colour) in lines.iter().zip(COLOURS) {
        let points: Vec<String> =
            line.points.iter().map(|&(at, value)| format!("{:.1},{:.1}", x(at), y(value))).collect();
        put(
            svg,
            format_args!(
                "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>\n",
                points.join(" ")
            ),
        );
    }
    // Names stand right of the panel, each on a line of its own.
    for (number, (line, colour)) in lines.iter().zip(COLOURS).enumerate() {
        let at = top + 14.0 + 18.0 * number as f64;
        put(svg, format_args!("<text x=\"{}\" y=\"{at}\" fill=\"{colour}\">{}</text>\n", right + 8.0, line.name));
    }
}

/// A round distance of lines, so that there are three to eight of them.
fn step(most: f64) -> f64 {
    let power = 10_f64.powf(most.log10().floor());
    let parts = most / power;
    power
        * if parts > 5.0 {
            2.0
        } else if parts > 2.0 {
            1.0
        } else {
            0.5
        }
}

fn put(svg: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = svg.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_what_was_seen() {
        let samples = (0..360).map(|at| Sample {
            second: at as f64 * 5.0,
            normalize_bytes: 30 << 20,
            convert_bytes: 90 << 20,
            ..Sample::default()
        });
        let svg = svg(&Report { rate: 150.0, samples: samples.collect() });
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert_eq!((svg.matches(">normalize</text>").count(), svg.matches(">group-convert</text>").count()), (2, 2));
        assert!(svg.contains(">80</text>") && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn lines_are_at_round_distances() {
        assert_eq!([0.9, 1.0, 29.9, 30.0, 74.0, 420.0].map(step), [0.2, 0.5, 10.0, 10.0, 20.0, 100.0]);
    }
}
