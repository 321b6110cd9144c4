mod canny;
