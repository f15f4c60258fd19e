//! ONNX files of a few nodes, written in protobuf's wire format, so that tests need no Python.

/// Kinds of numbers, as ONNX numbers them.
pub(crate) const F32: u64 = 1;
pub(crate) const I32: u64 = 6;
pub(crate) const I64: u64 = 7;
pub(crate) const F16: u64 = 10;
pub(crate) const F64: u64 = 11;
pub(crate) const BF16: u64 = 16;

/// A message of protobuf.
#[derive(Default, Clone)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    fn message(self, field: u64, value: &Message) -> Self {
        self.bytes(field, &value.0)
    }
}

/// A graph in the making.
#[derive(Default)]
pub(crate) struct GraphFile(Message);

impl GraphFile {
    fn port(name: &str, element: u64, dims: &[Option<u64>]) -> Message {
        let shape = dims.iter().fold(Message::default(), |shape, dim| {
            let dim = match dim {
                Some(length) => Message::default().number(1, *length),
                None => Message::default().text(2, "any"),
            };
            shape.message(1, &dim)
        });
        let tensor = Message::default().number(1, element).message(2, &shape);
        let kind = Message::default().message(1, &tensor);
        Message::default().text(1, name).message(2, &kind)
    }

    /// Adds an input; a length of `None` may differ from run to run.
    pub(crate) fn input(self, name: &str, element: u64, dims: &[Option<u64>]) -> Self {
        Self(self.0.message(11, &Self::port(name, element, dims)))
    }

    /// Adds an output.
    pub(crate) fn output(self, name: &str, element: u64, dims: &[Option<u64>]) -> Self {
        Self(self.0.message(12, &Self::port(name, element, dims)))
    }

    /// Adds a table of floats.
    pub(crate) fn table(self, name: &str, dims: [u64; 2], values: &[f32]) -> Self {
        assert_eq!(dims[0] * dims[1], values.len() as u64);
        let raw: Vec<u8> = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        self.raw_table(name, dims, F32, &raw)
    }

    /// Adds a table of floats in half precision.
    pub(crate) fn half_table(self, name: &str, dims: [u64; 2], values: &[f32]) -> Self {
        assert_eq!(dims[0] * dims[1], values.len() as u64);
        let halves = values.iter().map(|it| half::f16::from_f32(*it));
        let raw: Vec<u8> = halves.flat_map(half::f16::to_le_bytes).collect();
        self.raw_table(name, dims, F16, &raw)
    }

    fn raw_table(self, name: &str, dims: [u64; 2], kind: u64, raw: &[u8]) -> Self {
        let tensor = Message::default().number(1, dims[0]).number(1, dims[1]);
        let tensor = tensor.number(2, kind).text(8, name).bytes(9, raw);
        Self(self.0.message(5, &tensor))
    }

    /// Adds a node without attributes.
    pub(crate) fn node(self, kind: &str, inputs: &[&str], output: &str) -> Self {
        Self(self.0.message(1, &node(kind, inputs, output)))
    }

    /// Adds a conversion to another kind of numbers.
    pub(crate) fn cast(self, input: &str, output: &str, to: u64) -> Self {
        let attribute = Message::default().text(1, "to").number(3, to).number(20, 2);
        Self(
            self.0
                .message(1, &node("Cast", &[input], output).message(5, &attribute)),
        )
    }

    /// The file.
    pub(crate) fn finish(self) -> Vec<u8> {
        let graph = self.0.text(2, "test");
        let opset = Message::default().text(1, "").number(2, 17);
        Message::default()
            .number(1, 8)
            .message(7, &graph)
            .message(8, &opset)
            .0
    }
}

fn node(kind: &str, inputs: &[&str], output: &str) -> Message {
    let node = inputs
        .iter()
        .fold(Message::default(), |node, input| node.text(1, input));
    node.text(2, output).text(4, kind)
}

/// A graph that looks each token's vector up in a table of 7 rows: `input_ids` of `ids`, an unused
/// `attention_mask`, and `last_hidden_state` of `hidden`. The row of the word `bad` is not finite.
pub(crate) fn lookup(ids: u64, hidden: u64) -> Vec<u8> {
    let any = [None, None];
    let vectors: Vec<f32> = (0..6_u8)
        .flat_map(|row| [f32::from(row), 1.0, -f32::from(row) / 2.0])
        .chain([f32::NAN; 3])
        .collect();
    let graph = GraphFile::default()
        .input("input_ids", ids, &any)
        .input("attention_mask", I64, &any)
        .table("vectors", [7, 3], &vectors)
        .node("Gather", &["vectors", "input_ids"], "found")
        .cast("found", "last_hidden_state", hidden);
    graph
        .output("last_hidden_state", hidden, &[None, None, Some(3)])
        .finish()
}

/// The same, with weights, computation and output in half precision: twice the vectors of [`lookup`].
pub(crate) fn half_lookup() -> Vec<u8> {
    let any = [None, None];
    let vectors: Vec<f32> = (0..6_u8)
        .flat_map(|row| [f32::from(row), 1.0, -f32::from(row) / 2.0])
        .chain([f32::NAN; 3])
        .collect();
    GraphFile::default()
        .input("input_ids", I64, &any)
        .input("attention_mask", I64, &any)
        .half_table("vectors", [7, 3], &vectors)
        .node("Gather", &["vectors", "input_ids"], "found")
        .node("Add", &["found", "found"], "last_hidden_state")
        .output("last_hidden_state", F16, &[None, None, Some(3)])
        .finish()
}
