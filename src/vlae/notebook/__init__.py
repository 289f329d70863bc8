"""What a notebook shows: runs, data, outliers and neighbours as HTML, and a widget with a slider for each dimension."""
