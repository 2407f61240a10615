/// Declares `Kernel` and its private `Form` in the module that invokes it. Forms other than the portable one are for
/// x86-64, each with its id and the features that it needs; the fastest stands last.
///
/// ```
/// mod sum {
///     dispatch::forms! {
///         /// A form of the sum that this machine can run.
///         pub Kernel {
///             Avx2 = "avx2" if "avx2";
///         }
///     }
///
///     impl Kernel {
///         pub fn run(self, values: &[f32]) -> f32 {
///             match self.0 {
///                 Form::Portable => values.iter().sum(),
///                 #[cfg(target_arch = "x86_64")]
///                 // SAFETY: `available` made this form, so the machine has AVX2.
///                 Form::Avx2 => unsafe { sum_avx2(values) },
///             }
///         }
///     }
///
///     #[cfg(target_arch = "x86_64")]
///     #[target_feature(enable = "avx2")]
///     fn sum_avx2(values: &[f32]) -> f32 {
///         values.iter().sum()
///     }
/// }
///
/// assert_eq!(sum::Kernel::available()[0].id(), "portable");
/// assert_eq!(sum::Kernel::fastest().run(&[1.0, 2.0]), 3.0);
/// ```
#[macro_export]
macro_rules! forms {
    (
        $(#[$attribute:meta])*
        $visible:vis Kernel { $($form:ident = $id:literal if $($feature:tt),+;)* }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visible struct Kernel(Form);

        // Private, so that only `available` makes one and a `Kernel` proves that the machine has its instructions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Form {
            Portable,
            $(#[cfg(target_arch = "x86_64")] $form,)*
        }

        #[allow(dead_code, reason = "not every module names its forms")]
        impl Kernel {
            /// All forms that this machine has, the fastest last. All give the same results.
            $visible fn available() -> Vec<Self> {
                let forms = [
                    Some(Form::Portable),
                    $(
                        #[cfg(target_arch = "x86_64")]
                        ($(::std::arch::is_x86_feature_detected!($feature))&&+).then_some(Form::$form),
                    )*
                ];
                forms.into_iter().flatten().map(Self).collect()
            }

            /// The fastest form that this machine has.
            $visible fn fastest() -> Self {
                *Self::available().last().expect("the portable form is always there")
            }

            /// Name of the form, for reports.
            $visible fn id(self) -> &'static str {
                match self.0 {
                    Form::Portable => "portable",
                    $(#[cfg(target_arch = "x86_64")] Form::$form => $id,)*
                }
            }
        }
    };
}
