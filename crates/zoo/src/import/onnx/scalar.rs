//! Functions of each value, which files write as one node or as several.
//!
//! Exporters spell GELU as `x * (1 + erf(x / sqrt(2))) / 2`, in this and other orders, SiLU as `x * sigmoid(x)`, Mish
//! as `x * tanh(softplus(x))`. An [`Expression`] collects such nodes, and makes no layer until another node reads the
//! value. Then it is compared with each [`Function`] at many points: if it equals one, it becomes this function, a
//! single table in the int8 network, which rounds once. Otherwise its parts become layers.

use std::rc::Rc;

use graph::{Function, Op};

use super::attribute::{float, string};
use super::convert::{Converter, Done, Value, label};
use super::layer::Affine;
use super::message::Node;
use super::place::Place;

/// Largest number of operations in an expression. The longest spelling of a function that tools write has 9.
const MAX_SIZE: usize = 32;

/// Relative difference from a function with constants in f32, 0.044715 or the root of 2.
const TOLERANCE: f64 = 1e-6;

/// ONNX's defaults of alpha and gamma of `Selu`.
const SELU: [f32; 2] = [1.673_263_2, 1.050_701];

/// Functions without numbers of their own, and HardSigmoid as PyTorch has it.
const KNOWN: [Function; 9] = [
    Function::Sigmoid,
    Function::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 },
    Function::HardSwish,
    Function::Silu,
    Function::Tanh,
    Function::Gelu,
    Function::GeluTanh,
    Function::Mish,
    Function::Softplus,
];

/// A function of each value of a place, with the name of the node that computes it.
#[derive(Clone)]
pub(super) struct Scalar {
    pub(super) place: Place,
    name: String,
    expression: Rc<Expression>,
}

/// An expression in one variable.
enum Expression {
    Variable,
    Affine {
        of: Rc<Self>,
        scale: f64,
        offset: f64,
    },
    /// min(max(x, low), high); bounds may be infinite.
    Clip {
        of: Rc<Self>,
        low: f64,
        high: f64,
    },
    Function(Function, Rc<Self>),
    Erf(Rc<Self>),
    Power(Rc<Self>, f64),
    Add(Rc<Self>, Rc<Self>),
    Mul(Rc<Self>, Rc<Self>),
    /// 1 where the value is above the number, 0 elsewhere; below it if `less`.
    Compare {
        of: Rc<Self>,
        less: bool,
        with: f64,
    },
    /// The second value where the first is not 0, the third elsewhere.
    Where([Rc<Self>; 3]),
}

impl Expression {
    fn value(&self, x: f64) -> f64 {
        match self {
            Self::Variable => x,
            Self::Affine { of, scale, offset } => of.value(x) * scale + offset,
            Self::Clip { of, low, high } => of.value(x).max(*low).min(*high),
            Self::Function(function, of) => function.value(of.value(x)),
            Self::Erf(of) => libm::erf(of.value(x)),
            Self::Power(of, exponent) => libm::pow(of.value(x), *exponent),
            Self::Add(a, b) => a.value(x) + b.value(x),
            Self::Mul(a, b) => a.value(x) * b.value(x),
            Self::Compare { of, less, with } => {
                let value = of.value(x);
                f64::from(if *less { value < *with } else { value > *with })
            }
            Self::Where([condition, a, b]) => if condition.value(x) != 0.0 { a } else { b }.value(x),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Variable => 0,
            Self::Affine { of, .. }
            | Self::Clip { of, .. }
            | Self::Function(_, of)
            | Self::Erf(of)
            | Self::Power(of, _)
            | Self::Compare { of, .. } => 1 + of.size(),
            Self::Add(a, b) | Self::Mul(a, b) => 1 + a.size() + b.size(),
            Self::Where(parts) => 1 + parts.iter().map(|part| part.size()).sum::<usize>(),
        }
    }

    /// Returns the function that the expression equals.
    fn known(&self) -> Option<Function> {
        if let Self::Function(function, of) = self
            && let Self::Variable = **of
        {
            return Some(*function);
        }
        let points = || (-250..=250).map(|i| f64::from(i) / 10.0 + 0.013);
        KNOWN.into_iter().find(|function| {
            points().all(|x| {
                let expected = function.value(x);
                (self.value(x) - expected).abs() <= TOLERANCE * expected.abs().max(1.0)
            })
        })
    }
}

impl<'a> Converter<'a> {
    /// Returns an input as an expression in a place: a value that is computed already is the variable itself.
    fn scalar(&mut self, node: &'a Node, i: usize) -> Done<Scalar> {
        if let Some(Value::Scalar(scalar)) = self.value_of(node, i)
            && scalar.expression.size() < MAX_SIZE
        {
            return Ok(scalar.clone());
        }
        let place = self.place(node, i)?;
        Ok(Scalar { place, name: label(node), expression: Rc::new(Expression::Variable) })
    }

    /// Applies a function to the first input of a node.
    fn applied(
        &mut self,
        node: &'a Node,
        i: usize,
        function: impl FnOnce(Rc<Expression>) -> Expression,
    ) -> Done<Value<'a>> {
        let Scalar { place, expression, .. } = self.scalar(node, i)?;
        Ok(Value::Scalar(Scalar { place, name: label(node), expression: Rc::new(function(expression)) }))
    }

    /// Converts a node that is a function of its first input.
    pub(super) fn function(&mut self, node: &'a Node) -> Done<Value<'a>> {
        let function = match node.op_type.as_str() {
            "Sigmoid" => Function::Sigmoid,
            "HardSigmoid" => {
                Function::HardSigmoid { slope: float(node, "alpha", 0.2), offset: float(node, "beta", 0.5) }
            }
            "HardSwish" => Function::HardSwish,
            "Tanh" => Function::Tanh,
            "Elu" => Function::Elu { alpha: float(node, "alpha", 1.0) },
            "Gelu" => match string(node, "approximate", "none").as_str() {
                "none" => Function::Gelu,
                "tanh" => Function::GeluTanh,
                other => return Err(format!("approximate is {other}, expected none or tanh")),
            },
            "Mish" => Function::Mish,
            "Softplus" => Function::Softplus,
            "Swish" => {
                let alpha = f64::from(float(node, "alpha", 1.0));
                return self.applied(node, 0, |x| {
                    let scaled = Expression::Affine { of: x.clone(), scale: alpha, offset: 0.0 };
                    let sigmoid = Expression::Function(Function::Sigmoid, Rc::new(scaled));
                    Expression::Mul(x, Rc::new(sigmoid))
                });
            }
            "Selu" => {
                let elu = Function::Elu { alpha: float(node, "alpha", SELU[0]) };
                let scale = f64::from(float(node, "gamma", SELU[1]));
                return self.applied(node, 0, |x| {
                    let of = Rc::new(Expression::Function(elu, x));
                    Expression::Affine { of, scale, offset: 0.0 }
                });
            }
            "Celu" => {
                let alpha = f64::from(float(node, "alpha", 1.0));
                if !(alpha > 0.0 && alpha.is_finite()) {
                    return Err(format!("alpha is {alpha}, expected a positive number"));
                }
                return self.applied(node, 0, |x| {
                    let of = Rc::new(Expression::Affine { of: x, scale: 1.0 / alpha, offset: 0.0 });
                    let of = Rc::new(Expression::Function(Function::Elu { alpha: 1.0 }, of));
                    Expression::Affine { of, scale: alpha, offset: 0.0 }
                });
            }
            "Erf" => return self.applied(node, 0, Expression::Erf),
            "Greater" | "Less" => {
                let (less, with) = (node.op_type == "Less", f64::from(self.number(node, 1)?));
                return self.applied(node, 0, |of| Expression::Compare { of, less, with });
            }
            "Where" => return self.chosen(node),
            _ => {
                let exponent = f64::from(self.number(node, 1)?);
                return self.applied(node, 0, |x| Expression::Power(x, exponent));
            }
        };
        self.applied(node, 0, |x| Expression::Function(function, x))
    }

    /// Converts a `Where` of expressions of one place.
    fn chosen(&mut self, node: &'a Node) -> Done<Value<'a>> {
        let [condition, a, b] = [self.scalar(node, 0)?, self.scalar(node, 1)?, self.scalar(node, 2)?];
        let place = condition.place;
        let is_same = |other: &Scalar| other.place.place == place.place && other.place.dims == place.dims;
        if !is_same(&a) || !is_same(&b) {
            return Err("chooses among several computed values, expected functions of one".into());
        }
        let expression = Rc::new(Expression::Where([condition.expression, a.expression, b.expression]));
        Ok(Value::Scalar(Scalar { place, name: label(node), expression }))
    }

    /// Extends an expression by `x * scale + offset`, with one number each, if input `i` is an expression, or a place
    /// that other nodes read too, so that the arithmetic may be a part of a function.
    pub(super) fn scaled(
        &mut self,
        node: &'a Node,
        i: usize,
        scale: f64,
        offset: f64,
    ) -> Done<Option<Value<'a>>> {
        let may_be_part = match self.value_of(node, i) {
            Some(Value::Scalar(_)) => true,
            Some(Value::Place(place)) => place.place > 0 && self.place(node, i)?.shared,
            _ => false,
        };
        let apply = |of| Expression::Affine { of, scale, offset };
        may_be_part.then(|| self.applied(node, i, apply)).transpose()
    }

    /// Extends an expression by bounds.
    pub(super) fn limited(
        &mut self,
        node: &'a Node,
        i: usize,
        [low, high]: [f32; 2],
    ) -> Done<Option<Value<'a>>> {
        if !matches!(self.value_of(node, i), Some(Value::Scalar(_))) {
            return Ok(None);
        }
        let apply = |of| Expression::Clip { of, low: low.into(), high: high.into() };
        self.applied(node, i, apply).map(Some)
    }

    /// Joins the two inputs of an `Add` or `Mul` if at least one is an expression and both are of one place.
    pub(super) fn combined(&mut self, node: &'a Node) -> Done<Option<Value<'a>>> {
        let values = [self.value_of(node, 0), self.value_of(node, 1)];
        let places = values.map(|value| match value {
            Some(Value::Scalar(Scalar { place, .. }) | Value::Place(place)) => Some(place),
            _ => None,
        });
        let [Some(a), Some(b)] = places else { return Ok(None) };
        let is_same = a.place == b.place && a.dims == b.dims && a.order == b.order && !a.bytes;
        let computed = values.iter().any(|value| matches!(value, Some(Value::Scalar(_))));
        if !is_same || !computed || !["Add", "Mul"].contains(&node.op_type.as_str()) {
            return Ok(None);
        }
        let (a, b) = (self.scalar(node, 0)?, self.scalar(node, 1)?);
        if a.place.place != b.place.place {
            // An input was too long and became a layer.
            return Ok(None);
        }
        let operation = if node.op_type == "Add" { Expression::Add } else { Expression::Mul };
        let expression = Rc::new(operation(a.expression, b.expression));
        Ok(Some(Value::Scalar(Scalar { place: a.place, name: label(node), expression })))
    }

    /// Makes layers of an expression.
    pub(super) fn settle(&mut self, scalar: &Scalar) -> Done<Place> {
        let Scalar { place, name, expression } = scalar;
        if let Expression::Variable = **expression {
            return Ok(place.clone());
        }
        if let Some(function) = expression.known() {
            return self.push_alike(name.clone(), Op::Function(function), place);
        }
        let mut part = |of: &Rc<Expression>| {
            let place = Place { shared: true, ..place.clone() };
            self.settle(&Scalar { place, name: name.clone(), expression: of.clone() })
        };
        match &**expression {
            Expression::Affine { of, scale, offset } => {
                let x = part(of)?;
                let channels = self.channels(&x);
                let affine = Affine { scale: vec![*scale; channels], offset: vec![*offset; channels] };
                self.affine(name.clone(), x, affine)
            }
            Expression::Clip { of, low, high } => {
                let x = part(of)?;
                self.clip(name.clone(), x, *low as f32, *high as f32)
            }
            Expression::Function(function, of) => {
                let x = part(of)?;
                self.push_alike(name.clone(), Op::Function(*function), &x)
            }
            Expression::Add(a, b) => {
                let (a, b) = (part(a)?, part(b)?);
                let sum = self.push(name.clone(), Op::Add, &[&a, &b])?;
                Ok(Place { place: sum, shared: false, ..a })
            }
            Expression::Mul(a, b) => {
                let (a, b) = (part(a)?, part(b)?);
                let product = self.push(name.clone(), Op::Mul, &[&a, &b])?;
                Ok(Place { place: product, shared: false, ..a })
            }
            Expression::Power(of, exponent) if *exponent == 2.0 => {
                let x = part(of)?;
                let product = self.push(name.clone(), Op::Mul, &[&x, &x])?;
                Ok(Place { place: product, shared: false, ..x })
            }
            Expression::Power(..)
            | Expression::Erf(_)
            | Expression::Compare { .. }
            | Expression::Where(_) => {
                let known: Vec<String> = KNOWN.iter().map(|function| format!("{function:?}")).collect();
                let known = known.join(", ");
                Err(format!(
                    "reads the output of {name}, which is no known function, expected one of {known}"
                ))
            }
            Expression::Variable => unreachable!("returned above"),
        }
    }
}
