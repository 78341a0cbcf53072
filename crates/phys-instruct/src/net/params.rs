//! A network's parameters by name: saving, loading and averaging.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use phys_instruct_kernels::adamw::moving_average;

use super::UNet;
use crate::store::weights::Array;
use crate::{Error, Result};

/// Tracks the dotted path of the parameter being visited.
#[derive(Default)]
pub(super) struct Path(Vec<String>);

impl Path {
    pub(super) fn enter(&mut self, name: &str) {
        self.0.push(name.into());
    }

    pub(super) fn exit(&mut self) {
        self.0.pop();
    }

    pub(super) fn name(&self) -> String {
        self.0.join(".")
    }
}

/// The parameters of `module` as arrays, with `prefix` before each name.
///
/// # Errors
/// Fails for a parameter that the device does not give back.
pub fn to_arrays<M: Module>(module: &M, prefix: &str) -> Result<BTreeMap<String, Array>> {
    struct Collect<'a>(Path, &'a str, Vec<(String, Result<Array>)>);
    impl ModuleVisitor for Collect<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.enter(name);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.exit();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.2.push((format!("{}{}", self.1, self.0.name()), to_array(param.val())));
        }
    }

    let mut collect = Collect(Path::default(), prefix, Vec::new());
    module.visit(&mut collect);
    collect.2.into_iter().map(|(name, array)| Ok((name, array?))).collect()
}

/// The names of the parameters of `module`, with `prefix` before each.
pub fn names<M: Module>(module: &M, prefix: &str) -> BTreeSet<String> {
    struct Collect<'a>(Path, &'a str, BTreeSet<String>);
    impl ModuleVisitor for Collect<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.enter(name);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.exit();
        }
        fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<D>>) {
            self.2.insert(format!("{}{}", self.1, self.0.name()));
        }
    }

    let mut collect = Collect(Path::default(), prefix, BTreeSet::new());
    module.visit(&mut collect);
    collect.2
}

/// Returns `module` with its parameters taken from `arrays`, where `prefix` stands before each
/// name.
///
/// # Errors
/// Fails for a parameter that is missing or has another shape.
pub fn from_arrays<M: Module>(
    module: M,
    arrays: &BTreeMap<String, Array>,
    prefix: &str,
) -> Result<M> {
    struct Load<'a>(Path, &'a str, &'a BTreeMap<String, Array>, Option<String>);
    impl ModuleMapper for Load<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.0.enter(name);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.0.exit();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let name = format!("{}{}", self.1, self.0.name());
            let expected = param.val().dims();
            match self.2.get(&name) {
                Some(array) if array.shape == expected => {
                    let data = TensorData::new(array.data.clone(), expected);
                    let device = param.val().device();
                    param.map(|old| {
                        Tensor::from_data(data, &device).set_require_grad(old.is_require_grad())
                    })
                }

                // The first parameter that does not fit is the one reported.
                Some(array) => {
                    let shape = &array.shape;
                    self.3.get_or_insert_with(|| {
                        format!("{name} has shape {shape:?}, expected {expected:?}")
                    });
                    param
                }
                None => {
                    self.3.get_or_insert_with(|| {
                        format!("{name} is missing, expected shape {expected:?}")
                    });
                    param
                }
            }
        }
    }

    let mut load = Load(Path::default(), prefix, arrays, None);
    let module = module.map(&mut load);
    match load.3 {
        Some(reason) => Err(Error::Shape(format!("network weights: {reason}"))),
        None => Ok(module),
    }
}

/// The exponential moving average `average <- decay * average + (1 - decay) * net`. Both networks
/// are plain, not differentiated. An average that no other network shares is changed in place.
///
/// # Errors
/// Fails for a parameter that the device does not give back; the average is then unusable.
pub fn average(average: &mut UNet, net: &UNet, decay: f64) -> Result<()> {
    struct Values(Vec<Result<Vec<f32>>>);
    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(read(param.val()));
        }
    }

    struct Blend(std::vec::IntoIter<Vec<f32>>, f64, Result<()>);
    impl ModuleMapper for Blend {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Some(new) = self.0.next() else { return param };
            let decay = self.1;
            param.map(|old| {
                let (dims, device) = (old.dims(), old.device());
                let mut average = read(old).unwrap_or_else(|error| {
                    self.2 = Err(error);
                    vec![f32::NAN; new.len()]
                });
                moving_average(decay, &new, &mut average);
                Tensor::from_data(TensorData::new(average, dims), &device)
            })
        }
    }

    let mut new = Values(Vec::new());
    net.visit(&mut new);
    let new: Vec<Vec<f32>> = new.0.into_iter().collect::<Result<_>>()?;
    let mut blend = Blend(new.into_iter(), decay, Ok(()));
    average.replace(|average| average.map(&mut blend));
    blend.2
}

/// A tensor's values on the host with its shape.
///
/// # Errors
/// Fails as [`read`] does.
pub fn to_array<const D: usize>(tensor: Tensor<D>) -> Result<Array> {
    Ok(Array { shape: tensor.dims().to_vec(), data: read(tensor)? })
}

/// A tensor's values on the host, in C order.
///
/// # Errors
/// Fails for values that the device does not give back.
pub fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let shape = tensor.dims();
    tensor
        .try_into_vec_as::<f32>()
        .map_err(|e| Error::Backend(format!("a tensor of shape {shape:?} was not read: {e:?}")))
}

/// A tensor's values on the host, in C order, for callers that cannot fail. They are all NaN if the
/// device does not give them back, so that every check for finite values finds them.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let count = tensor.dims().iter().product();
    read(tensor).unwrap_or_else(|_| vec![f32::NAN; count])
}
