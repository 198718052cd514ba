//! The official driver, which watches the deployment.
