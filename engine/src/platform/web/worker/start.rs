//! Starts a worker that runs the page's own program.

use js_sys::{Array, Error, Reflect};
use wasm_bindgen::JsValue;
use web_sys::{Blob, BlobPropertyBag, Url, WorkerOptions, WorkerType};

use super::super::exception::Exception;

/// Starts it. It says something (see [`super::serve`]) when its program runs.
pub(super) fn start() -> Result<web_sys::Worker, Exception> {
    let program = program().ok_or_else(|| Exception {
        name: String::new(),
        message: "the page's own program was not found".to_owned(),
    })?;
    let lines = Array::of1(&JsValue::from_str(&bootstrap(&program)));
    let kind = BlobPropertyBag::new();
    kind.set_type("text/javascript");
    let script = Blob::new_with_str_sequence_and_options(&lines, &kind)?;
    let url = Url::create_object_url_with_blob(&script)?;
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    options.set_name("shoal-files");
    let worker = web_sys::Worker::new_with_options(&url, &options);
    // The address is read when the worker is made.
    Url::revoke_object_url(&url)?;
    Ok(worker?)
}

/// The worker's first lines. Importing the program's module starts it, here as in the page; `dx` lets
/// its module use `window` for that, which a worker does not have.
fn bootstrap(program: &str) -> String {
    let address = js_sys::JSON::stringify(&JsValue::from_str(program));
    let address = address.map_or_else(|_| String::new(), String::from);
    let begin = if cfg!(test) {
        // The module of a test does nothing by itself.
        ".then(async m => { await m.default(new URL('wasm-bindgen-test_bg.wasm', p)); m.serve_tests(); })"
    } else {
        ""
    };
    // An error must not go unheard.
    format!(
        "self.window = self; const p = {address}; \
         import(p){begin}.catch(e => setTimeout(() => {{ throw e; }}));"
    )
}

/// Finds the address of the module that runs this program: it stands in the trace of any call from it.
/// Neither its name nor its place is known otherwise, because `dx` puts a hash into the name. The crate
/// `wasm_thread` finds it in the same way.
fn program() -> Option<String> {
    let error = Error::new("");
    let trace = Reflect::get(&error, &JsValue::from_str("stack"));
    address_in(&trace.ok()?.as_string()?)
}

/// The first address of a script: `at name (ADDRESS:12:34)` in Chromium, `name@ADDRESS:12:34` in Firefox
/// and Safari.
fn address_in(trace: &str) -> Option<String> {
    let mut words = trace.split(|c: char| c.is_whitespace() || "()@".contains(c));
    words.find_map(|word| {
        let is_address = word.starts_with("http://") || word.starts_with("https://");
        let mut parts = word.rsplitn(3, ':').skip(2);
        let address = parts.next().filter(|_| is_address)?;
        (!address.ends_with(".wasm")).then(|| address.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn the_program_is_found_in_the_traces_of_all_browsers() {
        for trace in [
            "Error\n    at __wbg_new_1 (http://127.0.0.1:80/wasm/a-1.js:4:5)\n    at wasm://wasm/1:2:3",
            "__wbg_new_1@http://127.0.0.1:80/wasm/a-1.js:4:5\n@http://127.0.0.1:80/a_bg.wasm:1:2",
        ] {
            let address = address_in(trace);
            assert_eq!(address.as_deref(), Some("http://127.0.0.1:80/wasm/a-1.js"));
        }
        assert_eq!(address_in("Error\n    at f (native:1:2)"), None);
        assert!(program().is_some());
    }
}
