//! Plots as inline SVG: no script, no font, no colour of their own; the page's style gives those for light and dark.

use super::figures::{Course, Link, SideCourse};
use super::period::stamp;
use crate::cli::text::{self, escaped};

/// Applications stacked over time.
pub fn stacked(course: &Course, from: i64) -> String {
    let points = course.lines.first().map_or(0, |l| l.bits_per_second.len());
    let sum = |at: usize| {
        course
            .lines
            .iter()
            .map(|l| l.bits_per_second[at])
            .sum::<f64>()
    };
    let top = (0..points).map(sum).fold(0.0, f64::max);
    let frame = Frame::new(points, course.step, from, top, 0.0, LARGE);
    let mut below = vec![0.0; points];
    let (mut areas, mut legend) = (String::new(), String::new());
    for (n, line) in course.lines.iter().enumerate() {
        let above: Vec<f64> = below
            .iter()
            .zip(&line.bits_per_second)
            .map(|(b, v)| b + v)
            .collect();
        let class = if n + 1 == course.lines.len() {
            "rest".into()
        } else {
            format!("c{n}")
        };
        areas += &format!(
            "<path class=\"area {class}\" d=\"{}\"/>",
            frame.area(&above, &below)
        );
        let name = escaped(&line.name);
        legend += &format!("<span><i class=\"{class}\"></i>{name}</span>");
        below = above;
    }
    format!(
        "{}<div class=\"legend\">{legend}</div>",
        frame.svg("bandwidth by application over time", &areas)
    )
}

/// Ingress of a link above the axis, egress below it.
pub fn link(link: &Link, course: &SideCourse, from: i64) -> String {
    let highest = |list: &[f64]| list.iter().copied().fold(0.0, f64::max);
    let (mut top, mut bottom) = (highest(&course.ingress_peak), highest(&course.egress_peak));
    // the speed is drawn where that leaves something to see of the traffic
    let speed = link
        .speed
        .map(|s| s as f64)
        .filter(|s| *s <= 2.5 * top.max(bottom));
    if let Some(speed) = speed {
        top = if top > 0.0 { top.max(speed) } else { 0.0 };
        bottom = if bottom > 0.0 { bottom.max(speed) } else { 0.0 };
    }
    let frame = Frame::new(course.ingress.len(), course.step, from, top, bottom, SMALL);
    let zero = vec![0.0; course.ingress.len()];
    let (mut inside, mut labelled) = (String::new(), f64::NEG_INFINITY);
    for (mean, peak, class, sign) in [
        (&course.ingress, &course.ingress_peak, "in", 1.0),
        (&course.egress, &course.egress_peak, "out", -1.0),
    ] {
        let signed = |list: &[f64]| -> Vec<f64> { list.iter().map(|v| v * sign).collect() };
        if course.step > super::period::SAMPLE_SECONDS {
            inside += &format!(
                "<path class=\"peak {class}\" d=\"{}\"/>",
                frame.area(&signed(peak), &zero)
            );
        }
        inside += &format!(
            "<path class=\"area {class}\" d=\"{}\"/>",
            frame.area(&signed(mean), &zero)
        );
        let direction = if sign > 0.0 { "ingress" } else { "egress" };
        let side = link.sides.iter().find(|s| s.direction == direction);
        let Some(side) = side else { continue };
        let p95 = side.p95.bits_per_second * sign;
        // two labels in one place cannot be read
        let apart = sign > 0.0 || frame.y(p95) - labelled >= 14.0;
        inside += &frame.level(p95, "p95", if apart { "95th" } else { "" });
        labelled = frame.y(p95);
        if let Some(speed) = speed {
            inside += &frame.level(speed * sign, "speed", "speed");
        }
    }
    let what = format!("ingress (above) and egress (below) of {}", link.name.text());
    frame.svg(&what, &inside)
}

/// Where things are in a plot.
struct Frame {
    points: usize,
    step: i64,
    from: i64,
    top: f64,
    bottom: f64,
    width: f64,
    height: f64,
}

impl Frame {
    fn new(
        points: usize,
        step: i64,
        from: i64,
        top: f64,
        bottom: f64,
        (width, height): (f64, f64),
    ) -> Frame {
        let room = if top + bottom > 0.0 { 1.08 } else { 1.0 };
        Frame {
            points,
            step,
            from,
            top: if top + bottom > 0.0 { top * room } else { 1.0 },
            bottom: bottom * room,
            width,
            height,
        }
    }

    /// Of the middle of a point.
    fn x(&self, at: f64) -> f64 {
        LEFT + (self.width - LEFT - RIGHT) * at / self.points.max(1) as f64
    }

    fn y(&self, value: f64) -> f64 {
        let inner = self.height - TOP - BOTTOM;
        TOP + inner * (self.top - value) / (self.top + self.bottom)
    }

    /// Between two lines of as many points, each as wide as its time.
    fn area(&self, above: &[f64], below: &[f64]) -> String {
        let there = above.iter().enumerate();
        let there = there.map(|(n, v)| (self.y(*v), self.x(n as f64 + 1.0)));
        let back = below.iter().enumerate().rev();
        let back = back.map(|(n, v)| (self.y(*v), self.x(n as f64)));
        let mut d = format!("M{:.1} {:.1}", self.x(0.0), self.y(0.0));
        let mut level = String::new();
        let mut reached = self.x(0.0);
        for (y, x) in there.chain(back) {
            let y = format!("{y:.1}");
            if y != level {
                // the level before ends here
                d += &format!("H{reached:.1}V{y}");
                level = y;
            }
            reached = x;
        }
        d + &format!("H{reached:.1}Z")
    }

    fn level(&self, value: f64, class: &str, label: &str) -> String {
        let (y, right) = (self.y(value), self.width - RIGHT);
        format!(
            "<path class=\"level {class}\" d=\"M{LEFT} {y:.1}H{right}\"/><text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
            right + 6.0,
            y + 4.0
        )
    }

    fn svg(&self, what: &str, inside: &str) -> String {
        let what = escaped(what);
        let bottom = self.height - BOTTOM;
        let mut grid = String::new();
        for value in self.values() {
            let y = self.y(value);
            grid += &format!(
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{}\"/><text class=\"y\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                self.width - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                text::bit_rate(value.abs())
            );
        }
        for (x, label) in self.times() {
            grid += &format!(
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/><text class=\"x\" x=\"{x:.1}\" y=\"{:.1}\">{label}</text>",
                bottom + 18.0
            );
        }
        let axis = self.y(0.0);
        format!(
            "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{what}\"><title>{what}</title>{grid}{inside}<path class=\"axis\" d=\"M{LEFT} {axis:.1}H{}\"/></svg>",
            self.width,
            self.height,
            self.width - RIGHT
        )
    }

    /// Round values for the grid, on both sides of 0.
    fn values(&self) -> Vec<f64> {
        let about = (self.top + self.bottom) / 5.0;
        let power = 10f64.powf(about.log10().floor());
        let times = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .find(|t| t * power >= about);
        let step = times.unwrap_or(10.0) * power;
        let (first, last) = (
            (-self.bottom / step).ceil() as i64,
            (self.top / step).floor() as i64,
        );
        (first..=last).map(|n| n as f64 * step).collect()
    }

    /// Round times for the grid, with their labels.
    fn times(&self) -> Vec<(f64, String)> {
        let seconds = self.points as i64 * self.step;
        let most = (self.width / 110.0) as i64;
        let step = TIMES.iter().find(|s| seconds / **s <= most).copied();
        let step = step.unwrap_or(28 * 86_400);
        let mut times = vec![];
        let mut at = (self.from + step - 1).div_euclid(step) * step;
        while at < self.from + seconds && times.len() < 12 {
            let x = self.x((at - self.from) as f64 / self.step as f64);
            let text = stamp(at);
            // the day at midnight, else the time
            let label = if at % 86_400 == 0 {
                &text[5..10]
            } else {
                &text[11..]
            };
            times.push((x, label.to_owned()));
            at += step;
        }
        times
    }
}

/// Width and height of the plot over the whole page, and of those that stand side by side.
const LARGE: (f64, f64) = (1_160.0, 280.0);
const SMALL: (f64, f64) = (560.0, 230.0);
const LEFT: f64 = 96.0;
const RIGHT: f64 = 48.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 28.0;
/// Distances between marks on the axis of time, seconds.
const TIMES: &[i64] = &[
    300, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
];

#[cfg(test)]
mod tests {
    use super::super::figures::Line;
    use super::*;

    #[test]
    fn plots_have_round_marks() {
        let frame = Frame::new(288, 300, 1_769_846_700, 9.3e6, 4.1e6, LARGE);
        assert_eq!(frame.values(), [-4e6, -2e6, 0.0, 2e6, 4e6, 6e6, 8e6, 10e6]);
        let labels: Vec<String> = frame.times().into_iter().map(|t| t.1).collect();
        assert_eq!(
            labels,
            [
                "09:00", "12:00", "15:00", "18:00", "21:00", "02-01", "03:00", "06:00"
            ]
        );
        let nothing = Frame::new(0, 300, 0, 0.0, 0.0, LARGE);
        assert!(nothing.times().is_empty() && nothing.values().iter().all(|v| v.is_finite()));
    }

    #[test]
    fn names_are_escaped_in_plots() {
        let course = Course {
            step: 300,
            lines: vec![Line {
                name: "<script>".into(),
                bits_per_second: vec![1.0],
            }],
        };
        let svg = stacked(&course, 0);
        assert!(
            svg.contains("&lt;script&gt;") && !svg.contains("<script"),
            "{svg}"
        );
        let mut hostile = Link::default();
        hostile.name.name = "\"><script>x</script>".into();
        let svg = link(&hostile, &SideCourse::default(), 0);
        assert!(!svg.contains("<script") && !svg.contains("\"\""), "{svg}");
    }
}
