//! Writes files in the forms that `torch.save` of PyTorch 2.15 writes, byte by byte.

/// A value to pickle.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Int(i64),
    Text(&'static str),
    Owned(String),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Dict(Vec<(String, Value)>),
    /// With bytes for keys, as protocol 2 writes them.
    BytesDict(Vec<(String, Value)>),
    /// An instance of a subclass of dict.
    DictOf(&'static str, &'static str, Vec<(String, Value)>),
    /// An instance of a class, with no items.
    Object(&'static str, &'static str),
    Call(&'static str, &'static str, Vec<Value>),
    Tensor(Tensor),
}

#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    shape: Vec<usize>,
    values: Vec<f32>,
    /// Strides of zero: one value for all.
    expanded: bool,
    form: Form,
    metadata: Vec<(&'static str, bool)>,
    another_argument: bool,
    wrap: Option<Wrap>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Floats,
    /// An untyped storage and the type beside it, `_rebuild_tensor_v3`.
    Untyped,
    Integers,
    Numpy,
}

#[derive(Clone, Copy, Debug)]
enum Wrap {
    Parameter,
    ParameterWithAttributes,
    Subclass(&'static str, &'static str),
    Device,
}

impl Value {
    /// Values that count up from `first`.
    pub(crate) fn tensor(shape: &[usize], first: f32) -> Self {
        let count: usize = shape.iter().product();
        Self::Tensor(Tensor {
            shape: shape.to_vec(),
            values: (0..count).map(|i| first + i as f32).collect(),
            expanded: false,
            form: Form::Floats,
            metadata: Vec::new(),
            another_argument: false,
            wrap: None,
        })
    }

    pub(crate) fn zeros(shape: &[usize]) -> Self {
        let Self::Tensor(tensor) = Self::tensor(&[1], 0.0) else { unreachable!() };
        Self::Tensor(Tensor { shape: shape.to_vec(), expanded: true, ..tensor })
    }

    fn changed(self, change: impl FnOnce(&mut Tensor)) -> Self {
        let Self::Tensor(mut tensor) = self else { panic!("not a tensor") };
        change(&mut tensor);
        Self::Tensor(tensor)
    }

    pub(crate) fn parameter(self) -> Self {
        self.changed(|tensor| tensor.wrap = Some(Wrap::Parameter))
    }

    pub(crate) fn parameter_with_attributes(self) -> Self {
        self.changed(|tensor| tensor.wrap = Some(Wrap::ParameterWithAttributes))
    }

    pub(crate) fn in_a_parameter(self) -> Self {
        self.parameter()
    }

    pub(crate) fn tensor_with_attributes(self) -> Self {
        self.of_subclass("torch", "Tensor")
    }

    pub(crate) fn of_subclass(self, module: &'static str, name: &'static str) -> Self {
        self.changed(|tensor| tensor.wrap = Some(Wrap::Subclass(module, name)))
    }

    pub(crate) fn of_a_device(self) -> Self {
        self.changed(|tensor| tensor.wrap = Some(Wrap::Device))
    }

    pub(crate) fn untyped(self) -> Self {
        self.changed(|tensor| tensor.form = Form::Untyped)
    }

    pub(crate) fn integers(self) -> Self {
        self.changed(|tensor| tensor.form = Form::Integers)
    }

    pub(crate) fn numpy(self) -> Self {
        self.changed(|tensor| tensor.form = Form::Numpy)
    }

    pub(crate) fn with_metadata(self, metadata: &[(&'static str, bool)]) -> Self {
        self.changed(|tensor| tensor.metadata = metadata.to_vec())
    }

    pub(crate) fn with_another_argument(self) -> Self {
        self.changed(|tensor| tensor.another_argument = true)
    }
}

pub(crate) fn dict(items: Vec<(String, Value)>) -> Value {
    Value::Dict(items)
}

/// A pickle of protocol 2 and the storages it refers to, numbered from 0.
struct Pickled {
    ops: Vec<u8>,
    storages: Vec<Vec<f32>>,
}

impl Pickled {
    fn new(value: &Value) -> Self {
        let mut pickled = Self { ops: vec![0x80, 2], storages: Vec::new() };
        pickled.value(value);
        pickled.op(b".");
        pickled
    }

    fn op(&mut self, bytes: &[u8]) {
        self.ops.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.op(b"X");
        self.op(&(text.len() as u32).to_le_bytes());
        self.op(text.as_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let latin1: String = bytes.iter().map(|&byte| char::from(byte)).collect();
        self.global("_codecs", "encode");
        self.text(&latin1);
        self.text("latin1");
        self.op(b"\x86R");
    }

    fn int(&mut self, value: i64) {
        self.op(&[0x8a, 8]);
        self.op(&value.to_le_bytes());
    }

    fn bool(&mut self, value: bool) {
        self.op(if value { b"\x88" } else { b"\x89" });
    }

    fn sizes(&mut self, sizes: &[usize]) {
        self.op(b"(");
        sizes.iter().for_each(|&size| self.int(size as i64));
        self.op(b"t");
    }

    fn global(&mut self, module: &str, name: &str) {
        self.op(format!("c{module}\n{name}\n").as_bytes());
    }

    fn ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.op(b")R");
    }

    fn items(&mut self, items: &[(String, Value)], key: fn(&mut Self, &str)) {
        self.op(b"(");
        for (name, value) in items {
            key(self, name);
            self.value(value);
        }
        self.op(b"u");
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Int(value) => self.int(*value),
            Value::Text(text) => self.text(text),
            Value::Owned(text) => self.text(text),
            Value::List(items) => {
                self.op(b"](");
                items.iter().for_each(|item| self.value(item));
                self.op(b"e");
            }
            Value::Tuple(items) => {
                self.op(b"(");
                items.iter().for_each(|item| self.value(item));
                self.op(b"t");
            }
            Value::Dict(items) => {
                self.ordered_dict();
                self.items(items, Self::text);
            }
            Value::BytesDict(items) => {
                self.op(b"}");
                self.items(items, |pickled, name| pickled.bytes(name.as_bytes()));
            }
            Value::DictOf(module, name, items) => {
                self.global(module, name);
                self.op(b")R");
                self.items(items, Self::text);
            }
            Value::Object(module, name) => {
                self.global(module, name);
                self.op(b")\x81}b");
            }
            Value::Call(module, name, args) => {
                self.global(module, name);
                self.value(&Value::Tuple(args.clone()));
                self.op(b"R");
            }
            Value::Tensor(tensor) => self.wrapped(tensor),
        }
    }

    fn wrapped(&mut self, tensor: &Tensor) {
        let Some(wrap) = tensor.wrap else {
            if tensor.form == Form::Numpy {
                return self.array(tensor);
            }
            let (module, name) = function(tensor);
            self.global(module, name);
            self.arguments(tensor);
            return self.op(b"R");
        };
        let inner = Tensor { wrap: None, ..tensor.clone() };
        match wrap {
            Wrap::Parameter | Wrap::ParameterWithAttributes => {
                let attributes = matches!(wrap, Wrap::ParameterWithAttributes);
                let name = if attributes { "_rebuild_parameter_with_state" } else { "_rebuild_parameter" };
                self.global("torch._utils", name);
                self.op(b"(");
                self.wrapped(&inner);
                self.bool(true);
                self.ordered_dict();
                if attributes {
                    self.op(b"}");
                    self.text("note");
                    self.op(b"K\x01s");
                }
                self.op(b"tR");
            }
            Wrap::Subclass(module, name) => {
                self.global("torch._tensor", "_rebuild_from_type_v2");
                self.op(b"(");
                let function = function(&inner);
                self.global(function.0, function.1);
                self.global(module, name);
                self.arguments(&inner);
                self.op(b"}");
                self.text("note");
                self.op(b"K\x01stR");
            }
            Wrap::Device => {
                self.global("torch._utils", "_rebuild_device_tensor_from_cpu_tensor");
                self.op(b"(");
                self.wrapped(&inner);
                self.global("torch", "float32");
                self.text("xla:0");
                self.bool(false);
                self.op(b"tR");
            }
        }
    }

    fn arguments(&mut self, tensor: &Tensor) {
        let class = match tensor.form {
            Form::Untyped => ("torch.storage", "UntypedStorage"),
            Form::Integers => ("torch", "IntStorage"),
            _ => ("torch", "FloatStorage"),
        };
        let mut strides = vec![0; tensor.shape.len()];
        if !tensor.expanded {
            let mut stride = 1;
            for (axis, size) in tensor.shape.iter().enumerate().rev() {
                strides[axis] = stride;
                stride *= size;
            }
        }
        self.op(b"((");
        self.text("storage");
        self.global(class.0, class.1);
        let key = self.storages.len().to_string();
        self.text(&key);
        self.text("cpu");
        self.int(tensor.values.len() as i64);
        self.op(b"tQ");
        self.int(0);
        self.sizes(&tensor.shape);
        self.sizes(&strides);
        self.bool(false);
        self.ordered_dict();
        if tensor.form == Form::Untyped {
            self.global("torch", "float32");
        }
        if !tensor.metadata.is_empty() {
            self.op(b"}");
            for (key, value) in &tensor.metadata {
                self.text(key);
                self.bool(*value);
                self.op(b"s");
            }
        }
        if tensor.another_argument {
            self.op(b"NN");
        }
        self.op(b"t");
        self.storages.push(tensor.values.clone());
    }

    fn array(&mut self, tensor: &Tensor) {
        self.global("numpy._core.multiarray", "_reconstruct");
        self.global("numpy", "ndarray");
        self.op(b"K\x00\x85");
        self.bytes(b"b");
        self.op(b"\x87R(K\x01");
        self.sizes(&tensor.shape);
        self.global("numpy", "dtype");
        self.text("f4");
        self.op(b"\x89\x88\x87R(K\x03");
        self.text("<");
        self.op(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89");
        let bytes: Vec<u8> = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.bytes(&bytes);
        self.op(b"tb");
    }
}

fn function(tensor: &Tensor) -> (&'static str, &'static str) {
    let untyped = tensor.form == Form::Untyped;
    ("torch._utils", if untyped { "_rebuild_tensor_v3" } else { "_rebuild_tensor_v2" })
}

/// A zip as PyTorch's `PyTorchStreamWriter` lays it out (read from files of 2.15):
///
/// ```text
/// each entry: local header of 30 bytes (flags 0x0808, sizes 0), name, extra field `FB` that aligns the data to 64
///             bytes; the data; a descriptor `PK\7\8` with checksum and sizes
/// directory:  46 bytes and the name for each entry
/// then always: zip64 end record (56 bytes) and its locator (20 bytes), the end record (22 bytes)
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Archive<'a> {
    /// The folder inside, called after the file.
    pub(crate) name: &'a str,
    pub(crate) deflated: bool,
    pub(crate) big_endian: bool,
    /// Whether the end record leaves its numbers to the zip64 record, as it must in large archives.
    pub(crate) zip64: bool,
}

impl Default for Archive<'_> {
    fn default() -> Self {
        Self { name: "archive", deflated: false, big_endian: false, zip64: false }
    }
}

impl Archive<'_> {
    pub(crate) fn write(&self, value: &Value) -> Vec<u8> {
        let pickled = Pickled::new(value);
        let order: &[u8] = if self.big_endian { b"big" } else { b"little" };
        let storage = |values: &Vec<f32>| -> Vec<u8> {
            let bytes = |value: &f32| if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
            values.iter().flat_map(bytes).collect()
        };
        let storages: Vec<(String, Vec<u8>)> = (0..)
            .zip(&pickled.storages)
            .map(|(key, values): (usize, _)| (format!("data/{key}"), storage(values)))
            .collect();
        let fixed = [
            ("data.pkl", pickled.ops.as_slice()),
            (".format_version", b"1"),
            (".storage_alignment", b"64"),
            ("byteorder", order),
        ];
        let last = [("version", &b"3\n"[..]), (".data/serialization_id", b"0123456789")];
        let storages = storages.iter().map(|(name, data)| (name.as_str(), data.as_slice()));
        self.of(fixed.into_iter().chain(storages).chain(last))
    }

    /// Names are relative to the archive's folder; `../` leaves it.
    pub(crate) fn of<'e>(&self, entries: impl IntoIterator<Item = (&'e str, &'e [u8])>) -> Vec<u8> {
        let mut file = Vec::new();
        let mut directory = Vec::new();
        let mut count = 0u16;
        for (name, data) in entries {
            let name = name.strip_prefix("../").map_or_else(|| format!("{}/{name}", self.name), Into::into);
            let (method, stored) = if self.deflated { (8u16, deflated(data)) } else { (0, data.to_vec()) };
            let start = file.len() as u32;
            let padding = 64 - (file.len() + 30 + name.len() + 4) % 64;
            let sizes =
                [checksum(data), stored.len() as u32, data.len() as u32].map(u32::to_le_bytes).concat();
            let name_bytes = (name.len() as u16).to_le_bytes();
            file.extend(b"PK\x03\x04\0\0\x08\x08");
            file.extend(method.to_le_bytes());
            file.extend([0; 16]);
            file.extend(name_bytes);
            file.extend((padding as u16 + 4).to_le_bytes());
            file.extend(name.bytes());
            file.extend(b"FB");
            file.extend((padding as u16).to_le_bytes());
            file.extend(std::iter::repeat_n(b'Z', padding));
            file.extend(&stored);
            file.extend(b"PK\x07\x08");
            file.extend(&sizes);
            directory.extend(b"PK\x01\x02\0\0\0\0\x08\x08");
            directory.extend(method.to_le_bytes());
            directory.extend([0; 4]);
            directory.extend(sizes);
            directory.extend(name_bytes);
            directory.extend([0; 12]);
            directory.extend(start.to_le_bytes());
            directory.extend(name.bytes());
            count += 1;
        }
        let (start, length) = (file.len() as u32, directory.len() as u32);
        file.extend(directory);
        let end = file.len() as u64;
        file.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x1e\x03\x2d\0");
        file.extend([0; 8]);
        for number in [u64::from(count), count.into(), length.into(), start.into()] {
            file.extend(number.to_le_bytes());
        }
        file.extend(b"PK\x06\x07\0\0\0\0");
        file.extend(end.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        file.extend(b"PK\x05\x06\0\0\0\0");
        let (count, length, start) =
            if self.zip64 { (u16::MAX, u32::MAX, u32::MAX) } else { (count, length, start) };
        file.extend([count, count].map(u16::to_le_bytes).concat());
        file.extend([length, start].map(u32::to_le_bytes).concat());
        file.extend([0; 2]);
        file
    }
}

/// A stream of deflate whose blocks are stored.
fn deflated(data: &[u8]) -> Vec<u8> {
    let blocks = data.len().div_ceil(0xffff).max(1);
    let mut stream = Vec::new();
    for block in 0..blocks {
        let part = &data[block * 0xffff..data.len().min((block + 1) * 0xffff)];
        let length = part.len() as u16;
        stream.push(u8::from(block + 1 == blocks));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(part);
    }
    stream
}

/// CRC-32 of IEEE 802.3.
fn checksum(data: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !data.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

/// A zip of the usual form.
pub(crate) fn archive(value: &Value) -> Vec<u8> {
    Archive::default().write(value)
}

/// The format before 1.6.
pub(crate) fn legacy(value: &Value) -> Vec<u8> {
    let pickled = Pickled::new(value);
    let mut file =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    file.extend(&pickled.ops);
    let keys = (0..pickled.storages.len()).map(|key| Value::Owned(key.to_string())).collect();
    file.extend(Pickled::new(&Value::List(keys)).ops);
    for storage in &pickled.storages {
        file.extend((storage.len() as i64).to_le_bytes());
        file.extend(storage.iter().flat_map(|value| value.to_le_bytes()));
    }
    file
}
