use std::borrow::Cow;

use crate::PickleError;
use crate::machine::Machine;

/// Position of an object in its [`Pickle`].
pub type Id = usize;

/// One object that a pickle describes.
#[derive(Debug)]
pub enum Object<'a> {
    /// `None`.
    None,
    /// A `bool`.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// An integer that needs more than 64 bits: little-endian two's complement.
    Long(&'a [u8]),
    /// An integer that needs more than 64 bits, in decimal digits: the form of protocol 1.
    Digits(&'a str),
    /// A `float`.
    Float(f64),
    /// A `str` of Python 3, a `unicode` of Python 2.
    Text(&'a str),
    /// A `str` of Python 2: text or bytes. [`Pickle::text`] and [`Pickle::bytes`] both accept it.
    ByteString(&'a [u8]),
    /// A `bytes` or a `bytearray`.
    Bytes(&'a [u8]),
    /// A list, or a set.
    List(Vec<Id>),
    /// A tuple, or a frozen set. Its elements precede it in the pickle, so tuples alone form no cycle.
    Tuple(Vec<Id>),
    /// A `dict` or a `collections.OrderedDict`, in insertion order. The last of several equal keys counts.
    Dict(Vec<(Id, Id)>),
    /// The name of a class or function.
    Global {
        /// The module.
        module: &'a str,
        /// The name in the module.
        name: &'a str,
    },
    /// A reference to something outside the pickle.
    Persistent(Id),
    /// The object that a call of `callable` would return. Both `callable` and `args` precede it in the
    /// pickle.
    Call {
        /// The class or function.
        callable: Id,
        /// The arguments: a tuple, if the pickle is valid.
        args: Id,
        /// State and items that the object receives after the call.
        given: Option<Box<Given>>,
    },
}

/// State and items that an object receives after it was made; they may refer back to the object.
#[derive(Debug, Default)]
pub struct Given {
    /// The argument of `__setstate__`, or the attributes.
    pub state: Option<Id>,
    /// Keys and values of an instance of a subclass of `dict`.
    pub items: Vec<(Id, Id)>,
    /// Elements of an instance of a subclass of `list` or `set`.
    pub elements: Vec<Id>,
}

impl Object<'_> {
    /// Name of the object's type, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::Long(_) | Self::Digits(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) | Self::ByteString(_) => "str",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::Global { .. } => "class or function",
            Self::Persistent(_) => "reference",
            Self::Call { .. } => "object",
        }
    }
}

/// All objects of one pickle.
#[derive(Debug)]
pub struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    root: Id,
    end: usize,
}

impl<'a> Pickle<'a> {
    /// Parses the pickle that begins at byte `start` of `input`.
    ///
    /// # Errors
    /// The input ends too early, an opcode is unknown or does not fit the stack, or there are more than
    /// 4,194,304 steps. Every error names the position.
    pub fn parse(input: &'a [u8], start: usize) -> Result<Self, PickleError> {
        let (objects, root, end) = Machine::run(input, start)?;
        Ok(Self { objects, root, end })
    }

    /// The id of the object that the pickle describes.
    pub fn root(&self) -> Id {
        self.root
    }

    /// The position in the input just after the pickle.
    pub fn end(&self) -> usize {
        self.end
    }

    /// Returns an object of this pickle.
    ///
    /// # Panics
    /// Panics if the id is from another pickle with more objects.
    pub fn get(&self, id: Id) -> &Object<'a> {
        &self.objects[id]
    }

    /// All objects, in the order in which the pickle makes them. An [`Id`] is an index into this slice.
    pub fn objects(&self) -> &[Object<'a>] {
        &self.objects
    }

    /// Returns a text: a `str` of Python 3, or one of Python 2 whose bytes are UTF-8.
    pub fn text(&self, id: Id) -> Option<&'a str> {
        match self.get(id) {
            Object::Text(text) => Some(text),
            Object::ByteString(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Returns bytes: a `bytes` of Python 3 or a `str` of Python 2. Python 3 writes bytes at protocols 1 and
    /// 2 as a call that encodes a text as Latin-1; these are decoded into a copy.
    pub fn bytes(&self, id: Id) -> Option<Cow<'a, [u8]>> {
        match self.get(id) {
            Object::Bytes(bytes) | Object::ByteString(bytes) => Some(Cow::Borrowed(bytes)),
            Object::Call { .. } => match self.call(id)? {
                ("_codecs", "encode", &[text, encoding])
                    if matches!(self.text(encoding), Some("latin1" | "latin-1")) =>
                {
                    let latin1 = |c: char| u8::try_from(u32::from(c)).ok();
                    self.text(text)?.chars().map(latin1).collect::<Option<Vec<u8>>>().map(Cow::Owned)
                }
                // Python 3 writes empty bytes as this call at protocols 1 and 2.
                ("__builtin__" | "builtins", "bytes", []) => Some(Cow::Borrowed(&[])),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns an integer of at most 64 bits.
    pub fn int(&self, id: Id) -> Option<i64> {
        match self.get(id) {
            Object::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns the keys and values of a dict, or of an instance of a subclass of `dict`.
    pub fn items(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.get(id) {
            Object::Dict(items) => Some(items),
            Object::Call { given: Some(given), .. } if !given.items.is_empty() => Some(&given.items),
            _ => None,
        }
    }

    /// Returns the module and name of a class or function.
    pub fn global(&self, id: Id) -> Option<(&'a str, &'a str)> {
        match self.get(id) {
            Object::Global { module, name } => Some((module, name)),
            _ => None,
        }
    }

    /// Returns the module, name and arguments of a call of a class or function.
    pub fn call(&self, id: Id) -> Option<(&'a str, &'a str, &[Id])> {
        let Object::Call { callable, args, .. } = self.get(id) else { return None };
        let (module, name) = self.global(*callable)?;
        let Object::Tuple(args) = self.get(*args) else { return None };
        Some((module, name, args))
    }

    /// Returns the state that an object received.
    pub fn state(&self, id: Id) -> Option<Id> {
        match self.get(id) {
            Object::Call { given: Some(given), .. } => given.state,
            _ => None,
        }
    }
}
