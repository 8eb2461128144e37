//! `iotc up --with-provider` as its user has it: requests to the resource provider
//! make data flow and stop it.

mod gen1;
mod gen2;
mod pasted;
mod sdk;
mod site;
