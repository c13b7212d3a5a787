//! A rule as an engine runs it: header, conditions on packets, steps by buffer, state, and what it says of itself.

use super::asn1::Asn1;
use super::buffer::Buffer;
use super::dataset::{Dataset, Listed};
use super::header::Header;
use super::modbus::Modbus;
use super::number::Number;
use super::warning::Warning;
use serde::Serialize;
use std::sync::Arc;

/// A rule, proven. A packet or transaction matches when the header and all conditions hold.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Who speaks to whom.
    pub header: Header,
    /// Number of the rule.
    pub sid: u32,
    /// Revision.
    pub rev: u32,
    /// Group of the rule; 1 unless it says otherwise.
    pub gid: u32,
    /// What it says of itself.
    pub about: About,
    /// Conditions on headers and on facts of the application layer.
    pub tests: Vec<Test>,
    /// What the conversation must be like.
    pub flow: Flow,
    /// Conditions by buffer, in the order in which the rule names them.
    pub groups: Vec<Group>,
    /// Bits and counters that are asked.
    pub asks: Vec<StateTest>,
    /// Bits and counters that are changed on a match.
    pub changes: Vec<StateChange>,
    /// Whether `xbits` asks for bits, and whether it changes any.
    pub xbits: [bool; 2],
    /// How often it may alert.
    pub threshold: Option<Threshold>,
    /// How often it must match before it alerts.
    pub detection_filter: Option<Threshold>,
    /// Whether a match raises no alert.
    pub noalert: bool,
    /// Whether nothing more of the flow is looked at after a match.
    pub bypass: bool,
    /// The content that is looked for first: index into `groups`, and into its steps.
    pub prefilter: Option<(usize, usize)>,
    /// Names of the variables that steps extract, in order of their number.
    pub variables: Vec<String>,
    /// What its author should know.
    pub warnings: Vec<Warning>,
    /// The text.
    pub raw: String,
}

/// What a rule says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct About {
    /// The text of an alert.
    pub message: String,
    /// Short name of the class.
    pub classtype: Option<String>,
    /// What the class means, from `classification.config`.
    pub category: Option<String>,
    /// The lower, the graver.
    pub priority: Option<u32>,
    /// System and identifier.
    pub references: Vec<(String, String)>,
    /// Keys and values in order.
    pub metadata: Vec<(String, String)>,
    /// Which end is the victim.
    pub target: Option<End>,
}

/// One end of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The source.
    Source,
    /// The destination.
    Destination,
}

/// The steps on one buffer, and how it is changed before.
#[derive(Debug, Clone)]
pub struct Group {
    /// Where to look.
    pub buffer: Buffer,
    /// Applied in order.
    pub transforms: Vec<Transform>,
    /// Must all hold, in order.
    pub steps: Vec<Step>,
    /// Lists that the whole buffer is looked up in, or added to, once the steps hold.
    pub lists: Vec<Listed>,
}

/// A change of a buffer before it is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transform {
    /// A dot before the text.
    Dotprefix,
    /// All blanks removed.
    StripWhitespace,
    /// Runs of blanks become one space.
    CompressWhitespace,
    /// `%xx` and `+` decoded.
    UrlDecode,
    /// In lower case.
    ToLowercase,
    /// In upper case.
    ToUppercase,
    /// The MD5 digest.
    ToMd5,
    /// The SHA-1 digest.
    ToSha1,
    /// The SHA-256 digest.
    ToSha256,
    /// The first group of a regular expression.
    PcreXform(String),
    /// Exclusive or with a key.
    Xor(Vec<u8>),
    /// The names of header lines alone.
    HeaderLowercase,
    /// Pseudo headers removed.
    StripPseudoHeaders,
    /// The domain of a host name.
    Domain,
    /// The top-level domain of a host name.
    TopLevelDomain,
    /// Base64 decoded.
    FromBase64,
}

/// One condition on a buffer.
#[derive(Debug, Clone)]
pub enum Step {
    /// Bytes.
    Content(Content),
    /// A regular expression.
    Pcre(Pcre),
    /// A number in the bytes, compared.
    ByteTest(ByteTest),
    /// A number in the bytes, skipped over.
    ByteJump(ByteJump),
    /// A number in the bytes, kept.
    ByteExtract(ByteExtract),
    /// A number in the bytes, computed with and kept.
    ByteMath(ByteMath),
    /// Whether there is data.
    IsDataAt(IsDataAt),
    /// The length of the buffer.
    Length(Number),
    /// Base64 decoded for `base64_data`.
    Base64Decode(Base64Decode),
    /// Values of ASN.1 that overflow those who read them.
    Asn1(Asn1),
}

/// A number in a rule: written, or a variable by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Written.
    Fixed(i64),
    /// Extracted by an earlier step.
    Variable(u8),
}

/// `content` and its modifiers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// The bytes; in lower case when `nocase`.
    pub pattern: Vec<u8>,
    /// Must not be there.
    pub negated: bool,
    /// ASCII letters match in either case.
    pub nocase: bool,
    /// From the start of the buffer.
    pub offset: Option<Value>,
    /// From `offset`, how far the match may end.
    pub depth: Option<Value>,
    /// From the end of the last match.
    pub distance: Option<Value>,
    /// From the end of the last match and `distance`, how far the match may end.
    pub within: Option<Value>,
    /// At the first byte.
    pub startswith: bool,
    /// At the last byte.
    pub endswith: bool,
    /// Asked to be looked for first.
    pub fast_pattern: Option<FastPattern>,
    /// On the bytes as they were sent.
    pub rawbytes: bool,
}

/// What of a content is looked for first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FastPattern {
    /// All of it.
    Whole,
    /// All of it, and nothing else is to be confirmed.
    Only,
    /// A part: where it starts, how long it is.
    Part(u16, u16),
}

/// `pcre`.
#[derive(Debug, Clone)]
pub struct Pcre {
    /// As the rule has it, with delimiters and flags.
    pub text: String,
    /// Compiled, with the limits of the settings.
    pub regex: pcre2::bytes::Regex,
    /// Must not match.
    pub negated: bool,
    /// From the end of the last match.
    pub relative: bool,
    /// Matches only where it starts.
    pub anchored: bool,
    /// What its groups are kept as, in order.
    pub captures: Vec<(Capture, String)>,
}

/// Where a group of a regular expression is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// With the flow.
    Flow,
    /// With the packet.
    Packet,
    /// With the alert.
    Alert,
}

/// How a number is written in the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Encoding {
    /// The lowest byte first.
    pub little: bool,
    /// As text, to this base.
    pub base: Option<Base>,
    /// In the order that the DCE/RPC header says.
    pub dce: bool,
}

/// The base of a number in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// 8.
    Octal,
    /// 10.
    Decimal,
    /// 16.
    Hexadecimal,
}

/// How `byte_test` compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Below.
    Less,
    /// Above.
    Greater,
    /// The same.
    Equal,
    /// Below or the same.
    AtMost,
    /// Above or the same.
    AtLeast,
    /// Any of the bits is set.
    And,
    /// Any bit differs.
    Xor,
}

/// `byte_test`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteTest {
    /// How many bytes.
    pub bytes: Value,
    /// The comparison is turned around.
    pub negated: bool,
    /// How.
    pub compare: Compare,
    /// With what.
    pub value: Value,
    /// Where.
    pub offset: Value,
    /// From the end of the last match.
    pub relative: bool,
    /// How the number is written.
    pub encoding: Encoding,
    /// Bits that count, shifted down to the lowest of them.
    pub bitmask: Option<u32>,
}

/// `byte_jump`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteJump {
    /// How many bytes.
    pub bytes: Value,
    /// Where.
    pub offset: Value,
    /// From the end of the last match.
    pub relative: bool,
    /// How the number is written.
    pub encoding: Encoding,
    /// The number is multiplied.
    pub multiplier: u32,
    /// The jump is rounded up to 4 bytes.
    pub align: bool,
    /// Where the jump starts.
    pub from: JumpFrom,
    /// Added after the jump.
    pub post_offset: i64,
    /// Bits that count.
    pub bitmask: Option<u32>,
}

/// Where a jump starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JumpFrom {
    /// After the number.
    Here,
    /// At the first byte of the buffer.
    Beginning,
    /// After its last byte.
    End,
}

/// `byte_extract`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteExtract {
    /// How many bytes.
    pub bytes: u8,
    /// Where.
    pub offset: i64,
    /// The variable.
    pub variable: u8,
    /// From the end of the last match.
    pub relative: bool,
    /// How the number is written.
    pub encoding: Encoding,
    /// The number is multiplied.
    pub multiplier: u32,
    /// The number is rounded up to this: 2 or 4.
    pub align: Option<u8>,
    /// Bits that count.
    pub bitmask: Option<u32>,
}

/// What `byte_math` computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// Sum.
    Add,
    /// Difference.
    Subtract,
    /// Product.
    Multiply,
    /// Quotient.
    Divide,
    /// Shifted up.
    Left,
    /// Shifted down.
    Right,
}

/// `byte_math`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteMath {
    /// How many bytes.
    pub bytes: Value,
    /// Where.
    pub offset: i64,
    /// What is computed.
    pub operator: Operator,
    /// With what.
    pub value: Value,
    /// The variable.
    pub variable: u8,
    /// From the end of the last match.
    pub relative: bool,
    /// How the number is written.
    pub encoding: Encoding,
    /// Bits that count.
    pub bitmask: Option<u32>,
}

/// `isdataat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsDataAt {
    /// Where.
    pub at: Value,
    /// There must be none.
    pub negated: bool,
    /// From the end of the last match.
    pub relative: bool,
}

/// `base64_decode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Base64Decode {
    /// How many encoded bytes; none: all that are there.
    pub bytes: Option<u32>,
    /// Where.
    pub offset: u32,
    /// From the end of the last match.
    pub relative: bool,
}

/// `flow`, joined with what the buffers imply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Flow {
    /// Direction, if any.
    pub direction: Option<FlowDirection>,
    /// Whether the connection must be established, or must not be.
    pub established: Option<bool>,
    /// `stateless`: a flow is not needed.
    pub stateless: bool,
    /// Rebuilt streams only, or never.
    pub stream: Option<bool>,
    /// Reassembled fragments only, or never.
    pub fragments: Option<bool>,
}

/// Direction in a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowDirection {
    /// From who opened it.
    ToServer,
    /// To who opened it.
    ToClient,
}

/// A condition that needs no buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// A number of a header or a transaction, by the keyword that asks for it.
    Number(&'static str, Number),
    /// Something else of a header or a transaction that is compared with a word: keyword, negated, words (any of them).
    Word(&'static str, bool, Vec<String>),
    /// The flags of TCP.
    TcpFlags(FlagTest),
    /// The flags of an IPv4 fragment.
    FragmentBits(FlagTest),
    /// Source and destination are the same.
    SameIp,
    /// Bytes of one or both sides of the stream.
    StreamSize(StreamSide, Number),
    /// What a parser of the application layer or a decoder raised.
    Event(&'static str, String),
    /// The application protocol: negated, name.
    ApplicationProtocol(bool, String),
    /// A header's presence, by the keyword that asks for it.
    Flag(&'static str),
    /// One of several conditions on a number, by the keyword that asks for it.
    AnyNumber(&'static str, Vec<Number>),
    /// A digest of a file is in a list, or in none where negated, by the keyword that asks for it.
    Digest(&'static str, bool, Arc<Dataset>),
    /// What a message of Modbus asks for.
    Modbus(Modbus),
}

/// How flags are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlagTest {
    /// How.
    pub mode: FlagMode,
    /// The flags.
    pub flags: u8,
    /// Flags that are not looked at.
    pub ignored: u8,
}

/// How flags are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagMode {
    /// These and no others.
    Exactly,
    /// At least these.
    All,
    /// Any of these.
    Any,
    /// Not all of these.
    None,
}

/// A side of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamSide {
    /// What the client sent.
    Client,
    /// What the server sent.
    Server,
    /// Each of the two.
    Both,
    /// One of the two.
    Either,
}

/// What bits and counters belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The flow.
    Flow,
    /// The source address.
    Source,
    /// The destination address.
    Destination,
    /// The pair of addresses.
    Pair,
}

/// A condition on bits and counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateTest {
    /// One of the bits is set.
    IsSet(Scope, Vec<String>),
    /// One of the bits is not set.
    IsNotSet(Scope, Vec<String>),
    /// A counter, compared: its name, how, with what.
    Counter(String, Compare, CounterValue),
    /// A counter is not what it is compared with.
    CounterNot(String, CounterValue),
    /// A counter exists, or does not.
    CounterExists(String, bool),
}

/// A change of bits and counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateChange {
    /// Sets a bit, for so many seconds; 0: as long as what it belongs to.
    Set(Scope, String, u32),
    /// Clears a bit.
    Unset(Scope, String),
    /// Turns a bit around.
    Toggle(Scope, String, u32),
    /// Sets a counter.
    CounterSet(String, CounterValue),
    /// Adds to a counter.
    CounterAdd(String, CounterValue),
    /// Subtracts from a counter.
    CounterSubtract(String, CounterValue),
}

/// What a counter is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CounterValue {
    /// A number.
    Fixed(u32),
    /// Another counter.
    Counter(String),
}

/// `threshold` and `detection_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Threshold {
    /// Which of the matches alert.
    pub kind: ThresholdKind,
    /// What is counted together.
    pub track: Track,
    /// How many.
    pub count: u32,
    /// In how long.
    pub seconds: u32,
}

/// Which matches alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ThresholdKind {
    /// The first `count`.
    Limit,
    /// Every `count`th.
    Threshold,
    /// The `count`th, once.
    Both,
}

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Track {
    /// The source address.
    BySrc,
    /// The destination address.
    ByDst,
    /// Either address.
    ByEither,
    /// The pair of addresses.
    ByBoth,
    /// The rule.
    ByRule,
    /// The flow.
    ByFlow,
}
