"""Files for browsers: `static/`, plain ES modules without a build step."""
