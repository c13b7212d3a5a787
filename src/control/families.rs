//! Families of metrics, and the text that they make together.

use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

/// The families of the page.
#[derive(Default)]
pub(super) struct Page(Vec<MetricFamily>);

/// Label names with values.
pub(super) type Labels<'a> = &'a [(&'static str, String)];

impl Page {
    /// The page as text.
    pub(super) fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.0)
    }

    /// A family of counters.
    pub(super) fn counter<'a>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        self.family(name, help, MetricType::COUNTER, rows, |m, value| {
            let mut counter = Counter::default();
            counter.set_value(value);
            m.set_counter(counter);
        });
    }

    /// A family of gauges.
    pub(super) fn gauge<'a>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels<'a>, f64)>,
    ) {
        self.family(name, help, MetricType::GAUGE, rows, |m, value| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            m.set_gauge(gauge);
        });
    }

    /// A histogram without labels; `buckets` are upper bounds with what lies below each and above the one before.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        buckets: &[(f64, u64)],
        count: u64,
        sum: f64,
    ) {
        let histogram = filled(buckets, count, sum);
        self.family(
            name,
            help,
            MetricType::HISTOGRAM,
            [(&[][..], 0.0)],
            |m, _| {
                m.set_histogram(histogram.clone());
            },
        );
    }

    /// Histograms of one name by QoS class.
    pub(super) fn histograms(&mut self, name: &str, all: &[super::Histogram]) {
        let Some(first) = all.first() else { return };
        let labels: Vec<_> = all.iter().map(|h| [("class", h.class.clone())]).collect();
        let rows = labels.iter().enumerate().map(|(n, l)| (&l[..], n as f64));
        self.family(name, first.help, MetricType::HISTOGRAM, rows, |m, n| {
            let h = &all[n as usize];
            m.set_histogram(filled(&h.buckets, h.count, h.sum));
        });
    }

    /// A family with its rows; one without rows is left out.
    fn family<'a>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        rows: impl IntoIterator<Item = (Labels<'a>, f64)>,
        set: impl Fn(&mut Metric, f64),
    ) {
        let metrics: Vec<Metric> = (rows.into_iter())
            .map(|(labels, value)| {
                let mut metric = Metric::from_label(labels.iter().map(label).collect());
                set(&mut metric, value);
                metric
            })
            .collect();
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.0.push(family);
    }
}

fn filled(buckets: &[(f64, u64)], count: u64, sum: f64) -> Histogram {
    let mut histogram = Histogram::default();
    let mut below = 0;
    let cumulative = buckets.iter().map(|&(bound, n)| {
        below += n;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(below);
        bucket
    });
    histogram.set_bucket(cumulative.collect());
    // read at slightly different moments; a histogram must not count more below a bound than in all
    histogram.set_sample_count(count.max(below));
    histogram.set_sample_sum(sum);
    histogram
}

fn label((name, value): &(&'static str, String)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name((*name).to_owned());
    pair.set_value(value.clone());
    pair
}
